package snapshot_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// emptiedBench makes a bench of three automatic backups, whose database was emptied since.
func emptiedBench(t *testing.T, edit ...func(*snapshot.Config)) (b *bench, good []string) {
	b = newBench(t, "delete", edit...)
	for i := range 3 {
		b.mark(fmt.Sprint("good ", i))
		b.auto()
	}
	good = b.ids()
	empty(t, b.m.Database())
	return b, good
}

// all returns the backups, the newest first.
func (b *bench) all() []snapshot.Backup {
	b.t.Helper()
	all, err := b.m.Backups()
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// Lost: the past, by a process that is killed after it saw the break and before that is recorded, or a second
// break where there is one. At every step of the first backup of an emptied database, and of accepting it.
func TestKilledDuringABreak(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"automatic", "accept"} {
		t.Run(op, func(t *testing.T) {
			emptied := func() (*bench, []string) {
				b, good := emptiedBench(t)
				if op == "accept" {
					b.auto()
				}
				return b, good
			}
			notKilled, _ := emptied()
			s := &scenario{name: op, op: op}
			points := crashPoints(t, op, notKilled.m.Database())
			for _, n := range append(s.swept(t, testdb.NewSample(6), points), len(points)+1) {
				b, good := emptied()
				where := fmt.Sprintf("killed at point %d, %q", n, crashAt(t, op, b.m.Database(), n))
				b.reopen()
				is := b.status()
				over := op == "accept" && is.Break == nil
				if !over && (is.State != snapshot.AtRisk || is.Break == nil || is.Break.Cause != catalog.Emptied || is.Break.Before == nil || *is.Break.Before != good[0]) {
					t.Fatalf("%s: %s, %s: %+v", where, is.State, is.Reason, is.Break)
				}
				b.exec("CREATE TABLE more (x)")
				b.auto()
				for _, e := range b.all() {
					want := catalog.Timeline{Number: 2, Cause: catalog.Emptied}
					if slices.Contains(good, e.ID) {
						want = catalog.Timeline{Number: 1}
					}
					if e.Timeline.Number != want.Number || e.Timeline.Cause != want.Cause {
						t.Errorf("%s: %s is of timeline %+v, want %+v", where, e.ID, e.Timeline, want)
					}
				}
				for _, id := range good {
					if !slices.Contains(b.ids(), id) {
						t.Errorf("%s: %s is gone", where, id)
					}
				}
			}
		})
	}
}

// Lost: the past, with the catalog.json that says where it ends. The archives say it, too.
func TestRebuildKeepsTimelines(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"lost", "damaged", "rebuilt"} {
		t.Run(how, func(t *testing.T) {
			b, good := emptiedBench(t, func(c *snapshot.Config) { c.Retention = snapshot.Policy{Last: 3, Daily: catalog.None} })
			b.auto()
			before := b.all()
			file := filepath.Join(b.m.Dir(), "catalog.json")
			switch how {
			case "lost":
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			case "damaged":
				testdb.FlipByte(t, file, 20)
			case "rebuilt":
				if _, err := b.m.Rebuild(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.reopen()
			for i, e := range b.all() {
				if e.Timeline.Number != before[i].Timeline.Number || e.Timeline.Cause != before[i].Timeline.Cause || !e.Timeline.Began().Equal(before[i].Timeline.Began()) {
					t.Errorf("%s: timeline %+v, was %+v", e.ID, e.Timeline, before[i].Timeline)
				}
			}
			for i := range 6 { // unverified ones push nothing out
				b.exec(fmt.Sprintf("CREATE TABLE more%d (x)", i))
				b.auto()
			}
			for _, id := range b.ids() {
				if _, err := b.m.Verify(t.Context(), id, snapshot.LevelQuick); err != nil {
					t.Fatal(err)
				}
			}
			if s := b.wants(snapshot.AtRisk, "the database was emptied"); s.Break == nil || s.Break.Cause != catalog.Emptied {
				t.Errorf("break %+v", s.Break)
			}
			if _, err := b.m.Prune(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			for _, id := range good {
				if !slices.Contains(b.ids(), id) {
					t.Errorf("%s is gone", id)
				}
			}
			if newest := b.all()[0]; newest.Timeline.Number != 2 {
				t.Errorf("the newest is of timeline %+v", newest.Timeline)
			}
		})
	}
}

// Wrong: a break where this program put the file there. A restore, online or by swap, its undo, and a repair
// go on without one, also when a service looks while another process restores.
func TestOurOwnRestoresAreNoBreak(t *testing.T) {
	t.Parallel()
	testdb.RequireTool(t, "sqlite3") // not in the bubble, where Run is at work
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = time.Hour })
		small := b.manual()
		r := b.run()
		letPass(0)
		sqlite3(t, b.m.Database(), "CREATE TABLE bulk (x); WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO bulk SELECT randomblob(1000) FROM n")
		letPass(2 * time.Hour)
		other, err := snapshot.Open(t.Context(), snapshot.Config{Database: b.m.Database()})
		if err != nil {
			t.Fatal(err)
		}
		for i, offline := range []bool{false, true, false, true} {
			back := small.ID
			if i >= 2 {
				back = *b.status().LastRestore.Undo
			}
			if _, err := other.Restore(t.Context(), back, snapshot.RestoreOptions{Offline: offline}); err != nil {
				t.Fatal(err)
			}
			letPass(time.Minute)
			b.wants(snapshot.Protected, "")
			letPass(2 * time.Hour)
		}
		for _, e := range b.rec.of(snapshot.EventBreak) {
			t.Errorf("reported: %s: %s", e.Message, e.Reason)
		}
		if s := b.wants(snapshot.Protected, ""); s.Break != nil {
			t.Errorf("break %+v", s.Break)
		}
		r.wait(t)
	})
}

// Wrong: a break, because a recovery exchanged the file.
func TestARecoveryIsNoBreak(t *testing.T) {
	t.Parallel()
	for name, hurt := range map[string]func(*testing.T, *bench){
		"repaired": func(t *testing.T, b *bench) { loseIndexRoot(t, b.m.Database()) },
		"restored": func(t *testing.T, b *bench) { b.damage() },
		"missing":  func(t *testing.T, b *bench) { removeDatabase(t, b.m.Database()) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "delete")
			b.auto()
			b.mark("more")
			b.auto()
			hurt(t, b)
			if rec, err := b.m.Recover(t.Context()); err != nil || rec.Action == snapshot.ActionNone {
				t.Fatalf("%+v, %v", rec, err)
			}
			b.mark("after")
			b.auto()
			b.mark("again")
			b.auto()
			if s := b.wants(snapshot.Protected, ""); s.Break != nil || len(b.rec.of(snapshot.EventBreak)) > 0 {
				t.Errorf("break %+v, reported %+v", s.Break, b.rec.of(snapshot.EventBreak))
			}
		})
	}
}

// Wrong: a break between the commit of a restore and its record, while another process looks.
func TestALookNextToARestoreWaits(t *testing.T) {
	b := newBench(t, "delete")
	small := b.manual()
	sqlite3(t, b.m.Database(), "CREATE TABLE bulk (x); WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO bulk SELECT randomblob(1000) FROM n")
	b.auto()
	looked := 0
	snapshot.SetCrashPoint(func(name string) {
		if name != "committed" {
			return
		}
		looked++
		peer, err := snapshot.Open(context.Background(), b.cfg)
		if err == nil && snapshot.Look(peer) {
			t.Error("a backup is due")
		}
		if err != nil {
			t.Error(err)
		}
	})
	defer snapshot.SetCrashPoint(nil)
	b.restores(small.ID, snapshot.RestoreOptions{})
	if reported := b.rec.of(snapshot.EventBreak); looked == 0 || len(reported) > 0 {
		t.Errorf("looked %d times, reported %+v", looked, reported)
	}
	b.wants(snapshot.Protected, "")
}

// Lost: a database that a script put there and accepted at once, without a backup until the next day; and
// "protected" meanwhile.
func TestAcceptedAtOnceIsBackedUp(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		r := b.run()
		letPass(time.Hour)
		empty(t, b.m.Database())
		accepted, err := b.m.AcceptBreak(t.Context())
		if err != nil || accepted == nil {
			t.Fatalf("%+v, %v", accepted, err)
		}
		if s := b.wants(snapshot.AtRisk, "no verified backup of the database as it was accepted"); s.Break != nil || s.Code != snapshot.WhyBreak {
			t.Errorf("%s, %+v", s.Code, s.Break)
		}
		letPass(time.Minute)
		if newest := b.all()[0]; newest.Timeline.Number != 2 {
			t.Errorf("the newest is of timeline %+v", newest.Timeline)
		}
		b.wants(snapshot.Protected, "")
		r.wait(t)
	})
}
