package snapshot

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"example.com/snapd/internal/sqlitefile"
)

// watcher notices when the database's files are written to. It watches their
// directory: the files themselves come and go. A nil watcher notices nothing.
type watcher struct {
	fs    *fsnotify.Watcher
	ch    chan struct{} // holds at most one pending notice
	done  chan struct{} // closed when the goroutine has ended
	names map[string]bool
	db    string
	seen  [2]stamp // of the file and its WAL, at the last poll
}

type stamp struct {
	size, mtime int64
}

// watch starts watching a database; its goroutine ends at close. With an error the
// watcher still polls.
func watch(database string) (*watcher, error) {
	dir, base := filepath.Dir(database), filepath.Base(database)
	w := &watcher{ch: make(chan struct{}, 1), done: make(chan struct{}), db: database,
		names: map[string]bool{base: true, sqlitefile.WAL(base): true, sqlitefile.Journal(base): true}}
	w.poll()
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err == nil {
		if err = w.fs.Add(dir); err != nil {
			w.fs.Close()
			w.fs = nil
		}
	}
	if err != nil {
		close(w.done)
		return w, fmt.Errorf("watch %s: %w", dir, err)
	}
	go w.run()
	return w, nil
}

func (w *watcher) run() {
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

// changed delivers a notice per burst of writes.
func (w *watcher) changed() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.ch
}

// poll reports whether sizes or times differ from the last poll: file systems
// without notification, and lost watches, are noticed this way.
func (w *watcher) poll() bool {
	if w == nil {
		return false
	}
	var now [2]stamp
	for i, name := range []string{w.db, sqlitefile.WAL(w.db)} {
		if st, err := os.Stat(name); err == nil {
			now[i] = stamp{st.Size(), st.ModTime().UnixNano()}
		}
	}
	differs := now != w.seen
	w.seen = now
	return differs
}

func (w *watcher) close() {
	if w == nil {
		return
	}
	if w.fs != nil {
		w.fs.Close()
	}
	<-w.done
}
