package livedb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"example.com/snapd/internal/sqlitefile"
)

// Watcher notices when the database's files are written to. It watches their
// directory: the files themselves come and go. A nil Watcher notices nothing.
// Its methods but Close are for one goroutine.
type Watcher struct {
	fs    *fsnotify.Watcher
	ch    chan struct{} // holds at most one pending notice
	done  chan struct{} // closed when the goroutine has ended
	names map[string]bool
	db    string
	seen  watchStamps // at the last poll
}

// watchStamps are of the file and its WAL.
type watchStamps struct {
	size, mtime [2]int64
	ctime       int64  // of the file, which no program sets
	end         string // of the WAL, by its index
}

// Watch starts watching a database; its goroutine ends at close. With an
// error the Watcher still polls.
func Watch(database string) (*Watcher, error) {
	if real, err := Resolve(database); err == nil {
		database = real // the log is next to the file, not next to a link to it
	}
	base := filepath.Base(database)
	w := &Watcher{ch: make(chan struct{}, 1), done: make(chan struct{}), db: database,
		names: map[string]bool{base: true, sqlitefile.WAL(base): true, sqlitefile.Journal(base): true}}
	w.Poll()
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err == nil {
		if err = w.Resume(); err != nil {
			w.fs.Close()
			w.fs = nil
		}
	}
	if err != nil {
		close(w.done)
		return w, fmt.Errorf("watch %s: %w", filepath.Dir(database), err)
	}
	go w.run()
	return w, nil
}

func (w *Watcher) run() {
	defer close(w.done)
	for {
		select {
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if !w.names[filepath.Base(e.Name)] || e.Op == fsnotify.Chmod {
				continue
			}
		case _, ok := <-w.fs.Errors:
			if !ok {
				return
			}
			// Events were dropped: anything may have changed.
		}
		select {
		case w.ch <- struct{}{}:
		default:
		}
	}
}

// Changed delivers a notice per burst of writes.
func (w *Watcher) Changed() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.ch
}

// Pause ends the notices, which cost a busy writer and this process a wake-up for each write.
func (w *Watcher) Pause() {
	if w != nil && w.fs != nil {
		_ = w.fs.Remove(filepath.Dir(w.db)) // it was not watched, or is gone
	}
}

// Resume begins them again: what is written from now on is noticed. A notice from before is
// dropped, as a difference for Poll is. With an error there are none.
func (w *Watcher) Resume() error {
	if w == nil || w.fs == nil {
		return errors.New("the system gives no notices")
	}
	if err := w.fs.Add(filepath.Dir(w.db)); err != nil {
		return err
	}
	select {
	case <-w.ch:
	default:
	}
	w.Poll()
	return nil
}

// Poll reports whether sizes, times or the end of the log differ from the last poll: file systems
// without notification, and lost watches, are noticed this way. Of the database itself nothing is read.
func (w *Watcher) Poll() bool {
	if w == nil {
		return false
	}
	var now watchStamps
	for i, name := range []string{w.db, sqlitefile.WAL(w.db)} {
		st, err := os.Stat(name)
		if err != nil {
			continue
		}
		now.size[i], now.mtime[i] = st.Size(), st.ModTime().UnixNano()
		if i == 0 {
			now.ctime = changeTime(st)
		}
	}
	if now.size[1] > 0 {
		now.end = logEnd(w.db)
	}
	differs := now != w.seen
	w.seen = now
	return differs
}

func (w *Watcher) Close() {
	if w == nil {
		return
	}
	if w.fs != nil {
		w.fs.Close()
	}
	<-w.done
}
