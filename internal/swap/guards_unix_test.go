//go:build !windows

package swap_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/swap"
)

// Lost: the commits of an application that has the database open when a restore that was cut short is finished.
func TestFinishIsRefusedWhileOpen(t *testing.T) {
	onlyLinux(t)
	p := newPlace(t, scenarios["preserved"].old)
	killedAt(t, "preserved", "run", "preserved", filepath.Dir(p.target.Database))
	p.target.LockWait = 50 * time.Millisecond
	f, err := os.Open(p.target.Database)
	must(t, err)
	if end, err := p.target.Finish(t.Context()); !errors.Is(err, livedb.ErrBusy) || end.Outcome != swap.NonePending {
		t.Errorf("%+v, %v", end, err)
	}
	want(t, p.target.Database, files{"": "old"})
	if n, err := p.target.Pending(); n == nil || err != nil {
		t.Errorf("pending: %+v, %v", n, err)
	}
	must(t, f.Close())
	if end, err := p.target.Finish(t.Context()); err != nil || end.Outcome != swap.Completed {
		t.Errorf("%+v, %v", end, err)
	}
	want(t, p.target.Database, files{"": newImage})
}

// put has another user's file, with that text, take a path.
func put(t *testing.T, path, text string) {
	t.Helper()
	theirs := filepath.Join(t.TempDir(), "theirs")
	must(t, os.WriteFile(theirs, []byte(text), 0o600))
	must(t, os.Rename(theirs, path))
}

// staged is the path of the staged file of the swap that is at work.
func (p *place) stagedNow(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(p.target.Database), ".data.db.snapd-restore"))
	must(t, err)
	var in struct{ Staged string }
	must(t, json.Unmarshal(raw, &in))
	return filepath.Join(filepath.Dir(p.target.Database), in.Staged)
}

// Lost: a database of another user, overwritten; or secrets of one, kept for us. A user who may write in the directory exchanges files in the
// middle of a swap.
func TestExchangedInTheMiddle(t *testing.T) {
	onlyLinux(t)
	const theirs = "another's file, which is longer than either of the databases"
	for name, c := range map[string]struct {
		scenario, point, what string
		err                   error
		finish                swap.Outcome // once it is put right; NonePending: not tried
	}{
		"the database, before it is renamed over":   {"alone", "preserved", "", swap.ErrChanged, swap.NonePending},
		"the staged file, before it is renamed":     {"alone", "preserved", "staged", swap.ErrUnsafe, swap.Undone},
		"the database, before it is kept":           {"preserved", "report written", "", swap.ErrChanged, swap.Abandoned},
		"the -wal, before it is kept":               {"preserved with sidecars", "kept -journal", "-wal", swap.ErrChanged, swap.NonePending},
		"the database, before it is written in":     {"in place", "journal placed", "", swap.ErrChanged, swap.NonePending},
		"the staged file, before it is written":     {"in place", "journal placed", "staged", swap.ErrUnsafe, swap.Undone},
		"the staged file, of a database that grows": {"in place, larger", "journal placed", "staged", swap.ErrUnsafe, swap.Undone},
	} {
		t.Run(name, func(t *testing.T) {
			s := scenarios[c.scenario]
			p := newPlace(t, s.old)
			exchanged := ""
			p.target.Observer.Point = func(point string) {
				if point != c.point {
					return
				}
				if exchanged = p.target.Database + c.what; c.what == "staged" {
					exchanged = p.stagedNow(t)
				}
				put(t, exchanged, theirs)
			}
			if _, err := p.swaps(t.Context(), s); !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			if got := at(t, exchanged)[""]; c.what != "staged" && got != theirs {
				t.Errorf("theirs is %q now", got)
			}
			for _, suffix := range []string{"", "-wal"} {
				if got := at(t, filepath.Join(p.target.Dir, quarantine))[suffix]; got == theirs {
					t.Errorf("theirs was kept")
				}
			}
			p.target.Observer.Point = nil
			if c.finish == swap.NonePending {
				return
			}
			if end, err := p.target.Finish(t.Context()); err != nil || end.Outcome != c.finish {
				t.Errorf("finish: %+v, %v", end, err)
			}
			if c.finish == swap.Undone && at(t, p.target.Database)[""] != s.old[""] {
				t.Errorf("undone, it is %q", at(t, p.target.Database))
			}
			if c.finish == swap.Abandoned {
				want(t, p.target.Database, files{"": theirs})
			}
		})
	}
}

// Lost: the truth about a restore, whose database another user exchanged in the instant after the rename.
func TestExchangedAfterTheRename(t *testing.T) {
	p := newPlace(t, files{"": "old"})
	dir, done := filepath.Dir(p.target.Database), false
	defer durable.Observe(&durable.Observer{Synced: func(s durable.Step, path string) {
		if s == durable.StepSyncDir && path == dir && !done && at(t, p.target.Database)[""] == newImage {
			done = true
			put(t, p.target.Database, "theirs")
		}
	}})()
	if _, err := p.run(t.Context()); !errors.Is(err, swap.ErrUnsafe) || len(p.notes) > 0 {
		t.Errorf("%v, noted %v", err, p.notes)
	}
	want(t, p.target.Database, files{"": "theirs"})
}

// Lost: the application's access to the journal that takes a half-written database back.
func TestTheJournalHasTheAccessOfTheDatabase(t *testing.T) {
	p := newPlace(t, files{"": "old"})
	mode := os.FileMode(0)
	p.target.Observer.Point = func(point string) {
		if st, err := os.Stat(p.target.Database + "-journal"); point == "journal placed" && err == nil {
			mode = st.Mode().Perm()
		}
	}
	_, err := p.swaps(t.Context(), scenarios["in place"])
	must(t, err)
	if mode != 0o640 {
		t.Errorf("mode %v, of the database 0640", mode)
	}
}

// Lost: a restore, to one who only looks at the database; or the word of who will write to the file that was replaced.
func TestWaitsForThoseWhoGo(t *testing.T) {
	onlyLinux(t)
	const soon = 30 * time.Millisecond
	p := newPlace(t, files{"": "old"})
	f, err := os.Open(p.target.Database)
	must(t, err)
	time.AfterFunc(soon, func() { f.Close() })
	if _, err := p.run(t.Context()); err != nil {
		t.Errorf("one who goes: %v", err)
	}

	p = newPlace(t, files{"": "old"})
	p.target.LockWait = 20 * time.Second
	kept := filepath.Join(p.target.Dir, quarantine)
	p.target.Observer.Point = func(name string) {
		if name == "preserved" { // as if there had been no room for a copy
			must(t, os.Remove(kept))
			must(t, os.Link(p.target.Database, kept))
			straggler, err := os.Open(p.target.Database)
			must(t, err)
			time.AfterFunc(soon, func() { straggler.Close() })
		}
	}
	_, err = p.run(t.Context(), preserving)
	must(t, err)
	if len(p.warned) > 0 {
		t.Errorf("one who went is named: %q", p.warned)
	}
}

// Lost: the access of a database that is missing, or the room of the catalog, to what an application hangs on a file.
func TestKeptAccess(t *testing.T) {
	const list = "system.posix_acl_access"
	a := swap.Access{Mode: 0o640, UID: 1, GID: 2, Attrs: map[string][]byte{list: []byte("who"), "user.note": []byte("x")}}
	if k := a.Kept(); len(k.Attrs) != 1 || string(k.Attrs[list]) != "who" || k.Mode != a.Mode || k.UID != 1 || k.GID != 2 {
		t.Errorf("%+v", k)
	}
	a.Attrs[list] = make([]byte, 5<<10)
	if k := a.Kept(); len(k.Attrs) != 0 {
		t.Errorf("of %d bytes: %d attributes", 5<<10, len(k.Attrs))
	}
	delete(a.Attrs, list)
	if k := a.Kept(); k.Attrs != nil {
		t.Errorf("without a list: %+v", k)
	}
}

// Lost: the database, to a journal made of what is half written: the one that is in its place is taken for the old database's -journal, which
// the swap is to remove.
func TestTheJournalInPlaceIsNotTheOldOne(t *testing.T) {
	const name = "in place, preserved with sidecars"
	p := newPlace(t, scenarios[name].old)
	dir := filepath.Dir(p.target.Database)
	killedAt(t, "written in place", "run", name, dir)
	killedAt(t, "journal placed", "finish", dir)
	must(t, os.WriteFile(p.staged(t), []byte("damaged"), 0o600))
	if end, err := p.target.Finish(t.Context()); err != nil || end.Outcome != swap.Undone {
		t.Errorf("finish: %+v, %v", end, err)
	}
	if got := at(t, p.target.Database)[""]; got != "old" {
		t.Errorf("undone, the database is %q", got)
	}
}
