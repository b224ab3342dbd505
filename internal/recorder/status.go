package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// Status is how far the change log of a timeline goes.
type Status struct {
	Timeline uint64
	Seq      uint64    // the newest capture; 0 for none
	At       time.Time // of it
	Points   int       // of the timeline's log
	Bytes    int64     // of all logs

	Looked  time.Time // the database was looked at then, and what was committed is captured; zero: not known
	Current bool      // nothing was committed since
}

// Window is how long ago what would be lost with the database was committed, at most; known is false without a look.
func (s Status) Window(now time.Time) (window time.Duration, known bool) {
	switch {
	case s.Looked.IsZero():
		return 0, false
	case s.Current:
		return 0, true
	}
	return max(0, now.Sub(s.Looked)), true
}

// Status is that of the log that is kept here.
func (r *Recorder) Status() Status {
	r.mu.Lock()
	s := Status{Timeline: r.timeline, Points: r.points, Looked: r.looked}
	at := r.at
	if r.log != nil {
		if last, ok, err := r.log.Last(); err == nil && ok {
			s.Seq, s.At = last.Seq, last.At
		}
	}
	r.mu.Unlock()
	s.Bytes, _ = sizeOf(r.o.Dir) // what cannot be read is not there to be shown
	s.Current = current(r.o.Database, at)
	return s
}

// fresh is how long ago a look may be for ReadStatus to believe that a service is at work.
const fresh = 3 * time.Second

// ReadStatus reads the status of a timeline's log that another process keeps, or kept. Of one that is at work it
// waits a moment for the commits that it has not captured yet.
func ReadStatus(ctx context.Context, dir, database string, timeline uint64, serving bool) (s Status, err error) {
	end := time.Now().Add(fresh)
	var cache changes.Cache
	for {
		s, err = readStatus(ctx, &cache, dir, database, timeline)
		if err != nil || s.Current || !serving || time.Since(s.Looked) < fresh || time.Now().After(end) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(fresh / 10):
		}
	}
}

func readStatus(ctx context.Context, cache *changes.Cache, dir, database string, timeline uint64) (s Status, err error) {
	s.Timeline = timeline
	if s.Bytes, err = sizeOf(dir); err != nil {
		return s, err
	}
	v, err := changes.Read(ctx, filepath.Join(dir, strconv.FormatUint(timeline, 10)))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer v.Close()
	runs, err := v.Runs(ctx, cache)
	if err != nil {
		return s, err
	}
	last := (*changes.Listed)(nil)
	for _, r := range runs {
		for c := range r.Captures() {
			s.Points, last = s.Points+1, c
		}
	}
	if last == nil {
		return s, nil
	}
	s.Seq, s.At, s.Looked = last.Seq, last.At(), last.At()
	var at capture.Source
	_ = json.Unmarshal(last.Source, &at) // else the files differ from it
	if n, ok := readNote(dir); ok && n.Timeline == timeline && n.Seq == last.Seq && n.At.After(s.At) {
		s.Looked, at = n.At, n.Source
	}
	s.Current = current(database, at)
	return s, nil
}

// current reports whether nothing was committed since a look: by the files, or by the index of the log, which a
// checkpoint does not change.
func current(database string, at capture.Source) bool {
	files, err := livedb.TakeFingerprint(database)
	if err != nil || !at.Files.Main.Present || files.Main.ID != at.Files.Main.ID {
		return false
	}
	if at.Log != nil {
		if x, ok := indexOf(database); ok {
			x.Copied = at.Log.Copied
			return x == *at.Log
		}
	}
	return at.Files.Same(files)
}

func indexOf(database string) (x sqlitefile.WALIndex, ok bool) {
	f, err := livedb.OpenIndex(database)
	if err != nil {
		return x, false
	}
	x, ok = f.LogIndex()
	return x, f.Close() == nil && ok
}

// note says that the database was looked at, and nothing had been committed since a capture: its files changed
// all the same. For those who read the status.
type note struct {
	Timeline uint64         `json:"timeline"`
	Seq      uint64         `json:"seq"`
	At       time.Time      `json:"at"`
	Source   capture.Source `json:"source"`
}

const (
	noteName = "looked.json"
	maxNote  = 64 << 10
)

func readNote(dir string) (n note, ok bool) {
	f, err := durable.OpenRegular(filepath.Join(dir, noteName), os.O_RDONLY, 0)
	if err != nil {
		return n, false
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() > maxNote {
		return n, false
	}
	return n, json.NewDecoder(f).Decode(&n) == nil
}

// noteLook keeps where a look found the database, if its files changed and nothing was committed. The caller holds r.mu.
func (r *Recorder) noteLook(before capture.Source) error {
	now := r.chain.Source()
	seq, _ := r.chain.State()
	if seq == 0 || !before.Files.Main.Present || before.Files.Same(now.Files) {
		return nil
	}
	text, err := json.Marshal(note{r.timeline, seq, r.o.Now(), now})
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(r.o.Dir, noteName), text, 0o600)
}
