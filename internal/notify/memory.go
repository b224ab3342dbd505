package notify

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.com/snapd/internal/durable"
)

const (
	// MemoryFile is the name of the memory in the backup directory.
	MemoryFile = "notify.json"

	memoryVersion = 1
	maxMemory     = 1 << 20 // bytes of the file
)

// memory is what is kept over restarts.
type memory struct {
	Version   int                `json:"version"`
	Source    string             `json:"source"` // what the ids of messages begin with
	Next      uint64             `json:"next"`   // the number of the next one
	Position  string             `json:"position"`
	Active    map[string]active  `json:"active"`
	Receivers map[string]*outbox `json:"receivers"`
}

// active is a condition that stands.
//
//	noticed ── as it is for its hold ──▶ notified ── a day ──▶ notified again ── gone ──▶ notified that it ended
//	   └── gone, or another one, before that: never notified
type active struct {
	Condition
	Logged   bool      `json:"logged,omitempty"`  // the log began it, and ends it
	Changed  time.Time `json:"changed"`           // since when it is for this reason
	Notified time.Time `json:"notified,omitzero"` // when, last; zero: not yet
	As       Condition `json:"as,omitzero"`       // what was reported
}

func newMemory() memory {
	return memory{Version: memoryVersion, Source: strings.ToLower(rand.Text()[:10]), Next: 1, Active: map[string]active{}, Receivers: map[string]*outbox{}}
}

// clone returns a copy whose Active is its own.
func (m memory) clone() memory {
	m.Active = maps.Clone(m.Active)
	return m
}

// load reads the memory in dir; fresh without one. One that cannot be read is an error next to a fresh one.
func load(dir string) (m memory, fresh bool, err error) {
	m = newMemory()
	f, err := durable.OpenRegular(filepath.Join(dir, MemoryFile), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return m, true, nil
	}
	if err != nil {
		return m, true, fmt.Errorf("memory of the notifications: %w", err)
	}
	defer f.Close() // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, maxMemory+1))
	if err != nil {
		return m, true, fmt.Errorf("memory of the notifications: %w", err)
	}
	var read memory
	if len(raw) > maxMemory {
		err = fmt.Errorf("%s is larger than %d bytes", MemoryFile, maxMemory)
	} else if err = json.Unmarshal(raw, &read); err == nil && (read.Version != memoryVersion || read.Source == "") {
		err = fmt.Errorf("%s is of version %d; this program knows %d", MemoryFile, read.Version, memoryVersion)
	}
	if err != nil {
		return m, true, fmt.Errorf("memory of the notifications: %w", err)
	}
	if read.Active == nil {
		read.Active = map[string]active{}
	}
	if read.Receivers == nil {
		read.Receivers = map[string]*outbox{}
	}
	maps.DeleteFunc(read.Receivers, func(_ string, o *outbox) bool { return o == nil })
	return read, false, nil
}

// save replaces the memory in dir. A directory that is not there is not made.
func (m memory) save(dir string) error {
	raw, err := json.Marshal(m)
	if err == nil {
		err = durable.WriteFile(filepath.Join(dir, MemoryFile), raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("memory of the notifications: %w", err)
	}
	return nil
}

// Forget takes the receivers out of the memory in dir: none is configured any more.
func Forget(dir string) error {
	m, _, err := load(dir)
	if err != nil || len(m.Receivers) == 0 {
		return err
	}
	m.Receivers = map[string]*outbox{}
	return m.save(dir)
}

// outbox is what waits for one receiver, and how that does.
type outbox struct {
	Way     string    `json:"way"`
	Target  string    `json:"target"` // without secrets
	Waiting []Message `json:"waiting,omitempty"`
	Tried   time.Time `json:"tried,omitzero"`    // the last attempt
	Retry   time.Time `json:"retry,omitzero"`    // not before that, after failures
	Failing int       `json:"failing,omitempty"` // attempts that failed since the last that did not

	LastSuccess time.Time `json:"last_success,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	Error       string    `json:"error,omitempty"` // of the last failure, without secrets
	Sent        uint64    `json:"sent"`
	Failed      uint64    `json:"failed"`

	Pinged ping `json:"pinged,omitzero"` // what a ping said last
}

// put adds a message. One about the same condition that still waits is replaced.
func (o *outbox) put(m Message) {
	i := slices.IndexFunc(o.Waiting, func(w Message) bool { return w.Key == m.Key })
	if i < 0 {
		o.Waiting = append(o.Waiting, m)
		return
	}
	if w := o.Waiting[i]; w.Phase == Happened && m.Phase == Happened {
		m.Times += w.Times
		m.Since = w.Since
	}
	o.Waiting[i] = m
}

// Pace of a receiver.
const (
	apart      = time.Minute // between two attempts
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// due is when the first message that waits may be sent; zero for none.
func (o *outbox) due() time.Time {
	if len(o.Waiting) == 0 {
		return time.Time{}
	}
	at := o.Retry
	if next := o.Tried.Add(apart); !o.Tried.IsZero() && next.After(at) {
		at = next
	}
	if at.IsZero() {
		return o.Waiting[0].At
	}
	return at
}

// ended takes note of how an attempt ended. after is what a failing receiver asked for; most bounds the pause.
func (o *outbox) ended(now time.Time, err error, after, most time.Duration, words string) {
	if err == nil {
		o.Failing, o.Retry, o.Error, o.LastSuccess = 0, time.Time{}, "", now
		o.Sent++
		return
	}
	pause := min(most, firstRetry<<min(o.Failing, 10))
	o.Failing++
	o.Failed++
	o.LastFailure, o.Error = now, words
	o.Retry = now.Add(min(max(pause, after), lastRetry))
}

// delivered removes the message with that id; a newer one that took its place stays.
func (o *outbox) delivered(id string) {
	o.Waiting = slices.DeleteFunc(o.Waiting, func(w Message) bool { return w.ID == id })
}
