package snapshot_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// counted is a bench whose Run captures, next to an application that counts its commits.
type counted struct {
	*bench
	app *sql.DB
	n   int // commits
}

func newCounted(t *testing.T, mode string, edit ...func(*snapshot.Config)) *counted {
	t.Helper()
	c := &counted{bench: newBench(t, mode, append([]func(*snapshot.Config){func(cfg *snapshot.Config) {
		cfg.Continuous = 100 * time.Millisecond
	}}, edit...)...)}
	c.connect()
	c.write("CREATE TABLE ledger(n INTEGER PRIMARY KEY, v BLOB)")
	return c
}

// connect opens the application's connection.
func (c *counted) connect() {
	c.t.Helper()
	var err error
	if c.app, err = samplecrm.Open(c.m.Database(), ""); err != nil {
		c.t.Fatal(err)
	}
	c.app.SetMaxOpenConns(1)
	c.t.Cleanup(func() { c.app.Close() })
}

func (c *counted) write(query string, args ...any) {
	c.t.Helper()
	if _, err := c.app.Exec(query, args...); err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
}

// commit makes some commits, one ledger row each.
func (c *counted) commit(some int) {
	c.t.Helper()
	for range some {
		c.n++
		c.write("INSERT INTO ledger VALUES (?, randomblob(300))", c.n)
	}
}

// captures waits until a point has all commits, and returns its id.
func (c *counted) captures() string {
	c.t.Helper()
	for {
		ev := c.rec.wait(c.t, fmt.Sprintf("a capture of %d commits", c.n), func(e snapshot.Event) bool {
			return e.Type == snapshot.EventCaptured
		})
		if n, _ := c.ledger(ev.Point); n == c.n {
			return ev.Point
		}
	}
}

// ledger counts the commits that a point has: the first so many, and no other.
func (c *counted) ledger(id string) (n, highest int) {
	c.t.Helper()
	db, err := c.m.OpenBackup(c.t.Context(), id)
	if err != nil {
		c.t.Fatalf("open %s: %v", id, err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT count(*), coalesce(max(n), 0) FROM ledger").Scan(&n, &highest); err != nil {
		c.t.Fatalf("read %s: %v", id, err)
	}
	return n, highest
}

// points lists the captures, newest first, and proves that each has a state that there was.
func (c *counted) points() []snapshot.Point {
	c.t.Helper()
	all, _, err := c.m.Points(c.t.Context(), snapshot.PointsQuery{Limit: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
	var changes []snapshot.Point
	for _, p := range all {
		if p.Kind != snapshot.PointChange {
			continue
		}
		changes = append(changes, p)
		if n, highest := c.ledger(p.ID); n != highest || n > c.n {
			c.t.Errorf("point %s has %d commits, the last of which is number %d of %d", p.ID, n, highest, c.n)
		}
	}
	return changes
}

// Lost: the commits since the last backup, or a point that no commit made.
func TestRunCaptures(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			c := newCounted(t, mode)
			r := c.run()
			c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
			for range 5 {
				c.commit(3)
				c.captures()
			}
			if got := c.points(); len(got) < 5 {
				t.Errorf("%d points of 5 captures", len(got))
			}
			c.commit(2)
			if err := r.wait(t); err != nil {
				t.Fatal(err)
			}
			latest, err := c.m.Find("latest")
			if err != nil {
				t.Fatal(err)
			}
			if n, _ := c.ledger(latest.Point); latest.Trigger != catalog.TriggerShutdown || n != c.n {
				t.Errorf("the shutdown backup %s is point %q with %d of %d commits", latest.ID, latest.Point, n, c.n)
			}
			if n := len(c.rec.of(snapshot.EventCapturing)); n != 1 {
				t.Errorf("reported %d times that captures are on", n)
			}
			if all := c.points(); all[0].State != snapshot.PointVerified {
				t.Errorf("after a backup its point is not verified: %+v", all[0])
			}
			if open := glob(t, filepath.Join(c.m.Dir(), "changes", "1"), "open.chg"); len(open) > 0 {
				t.Error("the segment is not sealed at the end")
			}
		})
	}
}

// Lost: the points of before, or those after, where the service is started again.
func TestCapturesGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	c.commit(3)
	first := c.captures()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	c.commit(4) // while no service runs
	c.reopen()
	r = c.run()
	second := c.captures()
	c.app.Close() // deletes the log
	c.connect()
	c.commit(5)
	third := c.captures()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{first: 3, second: 7, third: 12} {
		if n, _ := c.ledger(id); n != want || !strings.HasPrefix(id, "1.") {
			t.Errorf("point %s has %d commits, not %d", id, n, want)
		}
	}
	c.points()
}

// Lost: every point after the first backup, with the catalog that knew which backups they build on.
func TestPointsOutliveTheCatalog(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	c.commit(3)
	c.captures()
	base := c.manual()
	c.commit(2)
	point := c.captures()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	for _, id := range c.ids() {
		if id != base.ID {
			if err := c.m.Delete(t.Context(), []string{id}, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Remove(filepath.Join(c.m.Dir(), "catalog.json")); err != nil {
		t.Fatal(err)
	}
	c.reopen()
	if _, err := c.m.Verify(t.Context(), base.ID, snapshot.LevelQuick); err != nil {
		t.Fatal(err)
	}
	if n, _ := c.ledger(point); n != 5 {
		t.Errorf("point %s has %d commits", point, n)
	}
}

// Lost: the history after a restore, or that before it, by a point that is of the other one.
func TestCapturesAfterARestore(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		t.Run(fmt.Sprint("offline ", offline), func(t *testing.T) {
			t.Parallel()
			c := newCounted(t, "wal")
			r := c.run()
			c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
			c.commit(3)
			back := c.captures()
			c.commit(4)
			later := c.captures()
			if offline {
				c.app.Close()
			}
			if _, err := c.m.Restore(t.Context(), back, snapshot.RestoreOptions{Offline: offline}); err != nil {
				t.Fatal(err)
			}
			if offline {
				c.connect()
			}
			c.n = 3
			c.commit(1)
			after := c.captures()
			if !strings.HasPrefix(after, "2.") {
				t.Errorf("after the restore it is point %s", after)
			}
			if err := r.wait(t); err != nil {
				t.Fatal(err)
			}
			for id, want := range map[string]int{back: 3, later: 7, after: 4} {
				if n, _ := c.ledger(id); n != want {
					t.Errorf("point %s has %d commits, not %d", id, n, want)
				}
			}
		})
	}
}

// Lost: the captures of a database whose page size changed, or was exchanged, for that would be another image.
func TestCapturesOfAnotherShapeOrFile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *counted){
		"page size": func(c *counted) {
			for _, err := c.app.Exec("PRAGMA journal_mode=delete"); err != nil; _, err = c.app.Exec("PRAGMA journal_mode=delete") {
				time.Sleep(10 * time.Millisecond) // it wants to be the only connection: a look may have one
			}
			c.write("PRAGMA page_size=8192")
			c.write("VACUUM")
			c.write("PRAGMA journal_mode=wal")
		},
		"another file": func(c *counted) {
			other := filepath.Join(c.t.TempDir(), "other.db")
			c.write("VACUUM INTO ?", other)
			c.app.Close()
			for _, name := range []string{"-wal", "-shm"} { // a connection of ours may have kept them
				if err := os.Remove(c.m.Database() + name); err != nil && !os.IsNotExist(err) {
					c.t.Fatal(err)
				}
			}
			if err := os.Rename(other, c.m.Database()); err != nil {
				c.t.Fatal(err)
			}
			c.connect()
			c.write("PRAGMA journal_mode=wal")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCounted(t, "wal")
			r := c.run()
			c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
			c.commit(3)
			before := c.captures()
			change(c)
			c.commit(2)
			c.rec.wait(t, "a new timeline", func(e snapshot.Event) bool { return e.Type == snapshot.EventBreak })
			if name == "page size" {
				c.rec.wait(t, "a backup to build on", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
			}
			c.commit(2)
			after := c.captures()
			if err := r.wait(t); err != nil {
				t.Fatal(err)
			}
			if n, _ := c.ledger(before); n != 3 || !strings.HasPrefix(after, "2.") {
				t.Errorf("%s has %d commits of 3, then comes %s", before, n, after)
			}
			c.points()
		})
	}
}

// Lost: the news that nothing is captured, or the captures after that.
func TestCapturesStopLoudlyAndGoOn(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	place := filepath.Join(c.m.Dir(), "changes")
	if err := os.MkdirAll(c.m.Dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := c.run()
	stopped, backedUp := false, false
	c.rec.wait(t, "captures that stop, and the start-up backup", func(e snapshot.Event) bool { // which is to have none of the commits
		stopped = stopped || e.Type == snapshot.EventChainGap
		backedUp = backedUp || e.Type == snapshot.EventBackedUp
		return stopped && backedUp
	})
	c.commit(3)
	if s, err := c.m.State(); err != nil || s.CapturesStopped == nil {
		t.Errorf("%+v, %v", s.CapturesStopped, err)
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	c.commit(2)
	c.captures()
	c.rec.wait(t, "captures that go on", func(e snapshot.Event) bool { return e.Type == snapshot.EventChainGap })
	if s, err := c.m.State(); err != nil || s.CapturesStopped != nil {
		t.Errorf("%+v, %v", s.CapturesStopped, err)
	}
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if n := len(c.rec.of(snapshot.EventChainGap)); n != 2 {
		t.Errorf("%d events, not one that they stop and one that they go on: %v", n, c.rec.of(snapshot.EventChainGap))
	}
}

// Lost: that captures still do not work, for one who starts the service again and looks at its log.
func TestCapturesThatDoNotWorkAreToldAtEachStart(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	if err := errors.Join(os.MkdirAll(c.m.Dir(), 0o700), os.WriteFile(filepath.Join(c.m.Dir(), "changes"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var since time.Time
	for range 2 {
		r := c.run()
		c.rec.wait(t, "captures that do not work", func(e snapshot.Event) bool { return e.Type == snapshot.EventChainGap && e.Err != nil })
		if err := r.wait(t); err != nil {
			t.Fatal(err)
		}
		s, err := c.m.State()
		if err != nil || s.CapturesStopped == nil || !since.IsZero() && !s.CapturesStopped.At.Equal(since) {
			t.Fatalf("%+v, %v: they have not worked since %s", s.CapturesStopped, err, since)
		}
		since = s.CapturesStopped.At
		c.reopen()
	}
	if n := len(c.rec.of(snapshot.EventCapturing)); n != 0 {
		t.Errorf("reported %d times that captures are on", n)
	}
}

// Lost: the place of a backup among the points, where another process than the service made it: of the safety backup of a restore by
// a command, for one.
func TestBackupOfAnotherProcessKnowsItsPoint(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	c.commit(3)
	point := c.captures()
	other, err := snapshot.Open(t.Context(), snapshot.Config{Database: c.m.Database(), Dir: c.m.Dir(), LockWait: patience})
	if err != nil {
		t.Fatal(err)
	}
	first := c.rec.of(snapshot.EventBackedUp)[0].Backup
	b, err := other.Backup(t.Context(), snapshot.Manual(""))
	if err != nil || b.Point != point {
		t.Errorf("the backup is point %q, not %s: %v", b.Point, point, err)
	}
	res, err := other.Restore(t.Context(), first, snapshot.RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := other.Find(*res.SafetyBackup); err != nil || b.Point != point {
		t.Errorf("the safety backup is point %q, not %s: %v", b.Point, point, err)
	}
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	c.write("CREATE TABLE late(a)") // it is not captured
	if b, err = other.Backup(t.Context(), snapshot.Manual("")); err != nil || b.Point != "" {
		t.Errorf("a state that was not captured is point %q: %v", b.Point, err)
	}
}

// Lost: the promise that a Manager which only makes backups does nothing else.
func TestOnlyRunCaptures(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	c.manual()
	c.commit(3)
	if b := c.manual(); b.Point != "" {
		t.Errorf("point %s", b.Point)
	}
	if _, err := os.Stat(filepath.Join(c.m.Dir(), "changes")); !os.IsNotExist(err) {
		t.Errorf("a change log: %v", err)
	}
	if _, err := c.m.Backup(context.Background(), snapshot.Manual("")); err != nil {
		t.Fatal(err)
	}
}
