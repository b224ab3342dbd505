package httpapi

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
	// sessionFile lies in the backup directory, which is known to be writable.
	sessionFile = "sessions.json"
	// sessionLife is absolute: who works on logs in again.
	sessionLife = 12 * time.Hour
	maxSessions = 100 // the oldest goes
	sessionID   = 32  // random bytes
)

// mac is what is kept of a session: the HMAC-SHA-256 of its id under the token's
// hash. A reader of the file cannot take a session over, a writer cannot make one,
// and with another token all are void, whenever it was changed.
type mac [sha256.Size]byte

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

// sessions are those of the page. They outlive the process.
type sessions struct {
	path string

	mu   sync.Mutex // guards list, and the file
	list []*session // oldest first
}

// sessionsDocument is the file.
type sessionsDocument struct {
	Sessions []sessionEntry `json:"sessions"`
}

type sessionEntry struct {
	MAC     string    `json:"mac"` // hex
	Expires time.Time `json:"expires_at"`
}

// openSessions reads the file. A file that cannot be used holds no sessions: the
// error says why, and people log in again.
func openSessions(path string) (*sessions, error) {
	s := &sessions{path: path}
	raw, _, err := readPrivate(path, 64<<10)
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
	for _, e := range doc.Sessions[max(0, len(doc.Sessions)-maxSessions):] {
		one := &session{expires: e.Expires, ended: make(chan struct{})}
		if n, err := hex.Decode(one.mac[:], []byte(e.MAC)); err != nil || n != len(one.mac) {
			return s, fmt.Errorf("read sessions: %s: an entry is not understood", path)
		}
		s.list = append(s.list, one)
	}
	return s, nil
}

// clockSlack is how far back a clock may be set without ending sessions.
const clockSlack = time.Hour

// live: an end further away than a session lasts was written under another clock.
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

// begin makes a session. An error says that it will not outlive the process.
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
