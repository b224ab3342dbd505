package activity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// Automatic is the user of what a service does by itself.
const Automatic = "automatic"

// maxWaiting bounds the records that wait for a log that cannot be written.
const maxWaiting = 32

// Journal is a log as one program writes it. What cannot be written now, as on a full
// disk, is written with the next record, and is a part of the answers until then.
type Journal struct {
	log  *Log
	past answered

	// Away, where it is set, reports whether the directory is not the one of this log now: records wait.
	Away func() bool

	mu      sync.Mutex // guards what follows, and keeps records in order
	idle    idleness
	waiting []Record
	failing bool // the last write failed, and that was said
}

// idleness counts the automatic backups that were not needed. They alone cause no
// write: idle means idle.
type idleness struct {
	times  int
	since  time.Time
	latest Entry
}

// NewJournal returns the journal over the log in dir.
func NewJournal(dir string) *Journal { return &Journal{log: New(dir)} }

// Log returns the log that j writes.
func (j *Journal) Log() *Log { return j.log }

// Idle takes note of an automatic backup that was not needed. It is written with the
// next record: many of them as one.
func (j *Journal) Idle(e Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.idle.times == 0 {
		j.idle.since = e.At
	}
	j.idle.times++
	j.idle.latest = e
}

// Pending returns the entry that Idle's make now; ok is false where there is none.
func (j *Journal) Pending() (e Entry, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.idle.entry(), j.idle.times > 0
}

func (i idleness) entry() Entry {
	e := i.latest
	if i.times > 1 {
		e.Since = &i.since
		e.Detail = fmt.Sprintf("no backup was needed, %d times since %s", i.times, i.since.Format(time.RFC3339))
	}
	return e
}

// Write adds r, after what waits. Errors: those of Log.Write, the first time only until
// one succeeds; nil where there is no directory yet, and so no history.
func (j *Journal) Write(r Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Line == Started {
		r.Process = thisProcess
	}
	if j.idle.times > 0 {
		j.waiting = append(j.waiting, Record{Entry: j.idle.entry()})
		j.idle = idleness{}
	}
	j.waiting = append(j.waiting, r)
	away := j.Away != nil && j.Away()
	var err error
	if !away {
		err = j.log.Write(j.waiting...)
	}
	if !away && err == nil {
		j.waiting, j.failing = nil, false
		return nil
	}
	j.waiting = slices.Delete(j.waiting, 0, max(0, len(j.waiting)-maxWaiting))
	if _, gone := os.Stat(j.log.dir); errors.Is(gone, fs.ErrNotExist) || j.failing {
		return nil
	}
	j.failing = true
	return err
}

// each gives the records whose lines contain needle to fn, the newest first, until it
// returns false. Of what waits, all are given.
func (j *Journal) each(needle []byte, fn func(Record) bool) error {
	j.mu.Lock()
	waiting := slices.Clone(j.waiting)
	j.mu.Unlock()
	for _, r := range slices.Backward(waiting) {
		if !fn(r) {
			return nil
		}
	}
	_, err := j.log.walk("", needle, fn)
	return err
}
