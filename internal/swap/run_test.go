package swap_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/swap"
)

// Lost: commits made between the safety backup and the lock.
func TestNothingHappensToADatabaseThatChanged(t *testing.T) {
	p := newPlace(t, files{"": "old", "-wal": "commits"})
	res, err := p.run(t.Context(), preserving, func(s *swap.Swap) {
		s.Unchanged = func() (bool, error) { return false, nil }
	})
	if !errors.Is(err, swap.ErrChanged) || res.Committed || len(p.points) > 0 {
		t.Errorf("%+v, %v, points %q", res, err, p.points)
	}
	broken := errors.New("could not look")
	if _, err = p.run(t.Context(), func(s *swap.Swap) { s.Unchanged = func() (bool, error) { return true, broken } }); !errors.Is(err, broken) {
		t.Error(err)
	}
	want(t, p.target.Database, files{"": "old", "-wal": "commits"})
	p.wantQuarantine(t, nil)
	p.wantClean(t)
}

// Cancelling has an effect until the swap is announced, and none after that.
func TestCancelling(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	early := newPlace(t, files{"": "old"})
	res, err := early.run(ctx, func(s *swap.Swap) {
		s.Unchanged = func() (bool, error) { cancel(); return true, nil }
		s.Committing = func() { t.Error("announced although cancelled") }
	})
	if !errors.Is(err, context.Canceled) || res.Committed {
		t.Errorf("%+v, %v", res, err)
	}
	want(t, early.target.Database, files{"": "old"})
	early.wantClean(t)

	ctx, cancel = context.WithCancel(t.Context())
	late := newPlace(t, files{"": "old"})
	if res, err = late.run(ctx, func(s *swap.Swap) { s.Committing = cancel }); err != nil || !res.Committed {
		t.Errorf("%+v, %v", res, err)
	}
	want(t, late.target.Database, files{"": newImage})
	late.wantClean(t)
}

// Lost: the application's access to its own database.
func TestKeepsMode(t *testing.T) {
	p := newPlace(t, files{"": "old"})
	_, err := p.run(t.Context())
	must(t, err)
	if st, err := os.Stat(p.target.Database); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v %v, want 0640 as before", st.Mode(), err)
	}
}

// Lost: a database that appeared where none was, replaced by a swap that was to put one
// where nothing is.
func TestNeverReplacesWhatAppeared(t *testing.T) {
	p := newPlace(t, nil)
	res, err := p.run(t.Context(), func(s *swap.Swap) {
		s.Committing = func() { must(t, os.WriteFile(p.target.Database, []byte("appeared"), 0o600)) }
	})
	if !errors.Is(err, fs.ErrExist) || !res.Committed {
		t.Errorf("%+v, %v", res, err)
	}
	want(t, p.target.Database, files{"": "appeared"})
	if end, err := p.target.Finish(t.Context()); err != nil || end.Outcome != swap.Abandoned {
		t.Errorf("finish: %+v, %v", end, err)
	}
	want(t, p.target.Database, files{"": "appeared"})
	p.wantClean(t)
}

// Who has the file open would go on with what was replaced.
func TestRefusedWhileOpen(t *testing.T) {
	onlyLinux(t)
	p := newPlace(t, files{"": "old"})
	p.target.LockWait = 50 * time.Millisecond
	f, err := os.Open(p.target.Database)
	must(t, err)
	res, err := p.run(t.Context())
	var inUse *swap.InUseError
	if !errors.As(err, &inUse) || !inUse.User.Own || !errors.Is(err, livedb.ErrBusy) || inUse.Hint() == "" || res.Committed {
		t.Errorf("%+v, %v", res, err)
	}
	want(t, p.target.Database, files{"": "old"})
	p.wantClean(t)
	must(t, f.Close())
	_, err = p.run(t.Context())
	must(t, err)
}

// One who opens the database in the instant before the rename must not find a database.
func TestStragglerFindsNoDatabase(t *testing.T) {
	onlyLinux(t)
	for name, edit := range map[string]func(*swap.Swap){"gone": func(*swap.Swap) {}, "preserved": preserving} {
		t.Run(name, func(t *testing.T) {
			old := "SQLite format 3\x00" + strings.Repeat("old ", 100)
			p := newPlace(t, files{"": old})
			var straggler *os.File
			_, err := p.run(t.Context(), edit, func(s *swap.Swap) {
				s.Committing = func() {
					var err error
					straggler, err = os.Open(p.target.Database)
					must(t, err)
				}
			})
			must(t, err)
			defer straggler.Close()
			head := make([]byte, 16)
			if _, err := straggler.ReadAt(head, 0); err != nil || bytes.HasPrefix(head, []byte("SQLite format 3")) {
				t.Errorf("reads %q, %v", head, err)
			}
			want(t, p.target.Database, files{"": newImage})
			if name == "preserved" {
				p.wantQuarantine(t, files{"": old})
			}
		})
	}
}

// Where the replaced inode lives on as the quarantine, a straggler is waited for, and
// named when it stays.
func TestStragglerInTheQuarantineIsNamed(t *testing.T) {
	onlyLinux(t)
	p := newPlace(t, files{"": "old"})
	p.target.LockWait = 100 * time.Millisecond
	kept := filepath.Join(p.target.Dir, quarantine)
	p.target.Observer.Point = func(name string) {
		if name == "preserved" { // as if there had been no room for a copy
			must(t, os.Remove(kept))
			must(t, os.Link(p.target.Database, kept))
			straggler, err := os.Open(p.target.Database)
			must(t, err)
			t.Cleanup(func() { straggler.Close() })
		}
	}
	_, err := p.run(t.Context(), preserving)
	must(t, err)
	if len(p.warned) != 1 || !strings.Contains(p.warned[0], "restart it") {
		t.Errorf("warnings %q", p.warned)
	}
	p.wantQuarantine(t, files{"": "old"})
	p.wantClean(t)
}

// Lost: commits in a log whose database is gone, which SQLite deletes when it makes a
// new one.
func TestKeepOrphans(t *testing.T) {
	p := newPlace(t, files{"-wal": "commits", "-journal": "", "-shm": "index"})
	kept, err := p.target.KeepOrphans(t.Context())
	must(t, err)
	if kept != filepath.Join(p.target.Dir, quarantine+"-wal") {
		t.Errorf("kept %q", kept)
	}
	want(t, filepath.Join(p.target.Dir, quarantine), files{"-wal": "commits"})
	want(t, p.target.Database, files{"-wal": "commits", "-journal": "", "-shm": "index"})

	nothing := newPlace(t, files{"-shm": "index"})
	if kept, err := nothing.target.KeepOrphans(t.Context()); err != nil || kept != "" {
		t.Errorf("kept %q, %v", kept, err)
	}
	res, err := nothing.run(t.Context(), preserving)
	if err != nil || res.Kept != "" {
		t.Errorf("%+v, %v", res, err)
	}
	nothing.wantQuarantine(t, nil) // no report of nothing, either
}

// Two quarantines of one second have two names.
func TestQuarantinesDoNotCollide(t *testing.T) {
	p := newPlace(t, files{"": "old"})
	_, err := p.run(t.Context(), preserving)
	must(t, err)
	res, err := p.run(t.Context(), preserving)
	if err != nil || filepath.Base(res.Kept) != "corrupted_20251031_143000_2.db" {
		t.Errorf("%+v, %v", res, err)
	}
	want(t, res.Kept, files{"": newImage})
	want(t, filepath.Join(p.target.Dir, quarantine), files{"": "old"})
}

func onlyLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux says who has a file open")
	}
}
