package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"example.com/snapd/internal/durable"
)

const (
	sessionFile = "sessions.json" // in the backup directory
	sessionLife = 12 * time.Hour  // from the login on; activity does not prolong it
	maxSessions = 100             // one more ends the oldest
	sessionID   = 32              // random bytes

	maxSessionFile = 64 << 10 // bytes; maxSessions entries need a quarter of it
)

// mac is the stored part of a session: the HMAC-SHA-256 of its id under the token's hash. A
// reader of the file cannot take a session over, a writer cannot forge one, and a change of
// the token makes all of them void, even while the server is down.
type mac [sha256.Size]byte

// parseMAC reads the hexadecimal form of the file.
func parseMAC(s string) (m mac, ok bool) {
	if len(s) != hex.EncodedLen(len(m)) {
		return mac{}, false // hex.Decode panics where the destination is too short
	}
	_, err := hex.Decode(m[:], []byte(s))
	return m, err == nil
}

func macOf(id string, key tokenHash) (m mac) {
	sum := hmac.New(sha256.New, key[:])
	sum.Write([]byte(id))
	sum.Sum(m[:0])
	return m
}

type session struct {
	mac     mac
	expires time.Time
	ended   chan struct{} // closed when the session ends before its time
}

// sessions are the logins on the page. They outlive the process.
type sessions struct {
	path string

	mu   sync.Mutex // guards list, and the file
	list []*session // oldest first
}

// sessionsDocument is the content of the file.
type sessionsDocument struct {
	Sessions []sessionEntry `json:"sessions"`
}

type sessionEntry struct {
	MAC     string    `json:"mac"` // hex
	Expires time.Time `json:"expires_at"`
}

// openSessions reads the file. It returns usable sessions with every error: a file that is
// not understood holds none, and people log in again.
func openSessions(path string) (*sessions, error) {
	s := &sessions{path: path}
	raw, _, err := readPrivate(path, maxSessionFile, "delete it: people log in again")
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read sessions: %w", err)
	}
	var doc sessionsDocument
	if err := json.Unmarshal(raw, &doc); err != nil {
		return s, fmt.Errorf("read sessions: %s: %w", path, err)
	}
	var list []*session
	for i, e := range doc.Sessions[max(0, len(doc.Sessions)-maxSessions):] {
		m, ok := parseMAC(e.MAC)
		if !ok {
			return s, fmt.Errorf("read sessions: %s: entry %d: the mac is not %d hexadecimal digits", path, i, hex.EncodedLen(len(m)))
		}
		list = append(list, &session{mac: m, expires: e.Expires, ended: make(chan struct{})})
	}
	s.list = list
	return s, nil
}

// clockSlack is how far back a clock may be set without ending sessions.
const clockSlack = time.Hour

// live reports whether s has not ended. An end further away than a session lasts was written
// under another clock.
func (s *session) live(now time.Time) bool {
	return now.Before(s.expires) && s.expires.Sub(now) <= sessionLife+clockSlack
}

// find returns the session with that id.
func (s *sessions) find(id string, key tokenHash, now time.Time) (*session, bool) {
	if id == "" {
		return nil, false
	}
	m := macOf(id, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.list {
		if hmac.Equal(one.mac[:], m[:]) && one.live(now) {
			return one, true
		}
	}
	return nil, false
}

// begin makes a session. With an error the session is good, but does not outlive the process.
func (s *sessions) begin(key tokenHash, now time.Time) (id string, expires time.Time, err error) {
	random := make([]byte, sessionID)
	rand.Read(random) // never fails: crypto/rand
	id = base64.RawURLEncoding.EncodeToString(random)
	expires = now.Add(sessionLife).Truncate(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(one *session) bool { return !one.live(now) })
	for len(s.list) >= maxSessions {
		s.end(0)
	}
	s.list = append(s.list, &session{mac: macOf(id, key), expires: expires, ended: make(chan struct{})})
	return id, expires, s.save()
}

// endOne ends the session with that id, if there is one.
func (s *sessions) endOne(id string, key tokenHash) error {
	m := macOf(id, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.drop(func(one *session) bool { return hmac.Equal(one.mac[:], m[:]) }) {
		return nil
	}
	return s.save()
}

// endAll ends every session.
func (s *sessions) endAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.drop(func(*session) bool { return true }) {
		return nil
	}
	return s.save()
}

func (s *sessions) drop(which func(*session) bool) (any bool) {
	for i := len(s.list) - 1; i >= 0; i-- {
		if which(s.list[i]) {
			s.end(i)
			any = true
		}
	}
	return any
}

func (s *sessions) end(i int) {
	close(s.list[i].ended)
	s.list = slices.Delete(s.list, i, i+1)
}

func (s *sessions) save() error {
	doc := sessionsDocument{Sessions: []sessionEntry{}}
	for _, one := range s.list {
		doc.Sessions = append(doc.Sessions, sessionEntry{hex.EncodeToString(one.mac[:]), one.expires.UTC()})
	}
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	if err := durable.WriteFile(s.path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	return nil
}
