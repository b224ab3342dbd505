package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// running is a Run under way.
type running struct {
	stop context.CancelFunc
	end  chan error
}

// run starts Run. It is stopped when the test ends.
func (b *bench) run() *running {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, end: make(chan error, 1)}
	go func() { r.end <- b.m.Run(ctx) }()
	return r
}

func (r *running) wait(t testing.TB) error {
	t.Helper()
	r.stop()
	select {
	case err := <-r.end:
		return err
	case <-time.After(patience):
		t.Fatal("Run does not end")
		return nil
	}
}

// letPass lets d pass in a bubble, and everything that becomes due in it.
func letPass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func triggers(events []snapshot.Event) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, e.Trigger)
	}
	return out
}

// Lost: automatic backups at start-up, by schedule and at shutdown; or idleness,
// when they are made of an unchanged database.
func TestRunFollowsTheSchedule(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			later(t, func(t *testing.T) {
				b := newBench(t, mode, func(c *snapshot.Config) { c.Interval = 6 * time.Hour })
				began := time.Now()
				r := b.run()
				letPass(0)
				made := func() []string { return triggers(b.rec.of(snapshot.EventBackedUp)) }
				if got := made(); !slices.Equal(got, []string{"startup"}) {
					t.Fatalf("at start: %v", got)
				}
				s := b.status()
				if s.NextRun == nil || s.NextRun.Sub(began) != 6*time.Hour {
					t.Errorf("next run %v, began %v", s.NextRun, began)
				}
				letPass(5 * time.Hour)
				b.mark("changed")
				letPass(59 * time.Minute)
				if got := made(); len(got) != 1 {
					t.Errorf("before its time: %v", got)
				}
				letPass(2 * time.Minute)
				if got := made(); !slices.Equal(got, []string{"startup", "schedule"}) || b.markIn("latest") != "changed" {
					t.Errorf("after six hours: %v, %q", got, b.markIn("latest"))
				}
				letPass(24 * time.Hour) // idle: no new backups, still protected
				if got := made(); len(got) != 2 {
					t.Errorf("of an unchanged database: %v", got)
				}
				if s := b.wants(snapshot.Protected, "unchanged"); s.NextRun == nil || time.Until(*s.NextRun) < 0 || time.Until(*s.NextRun) > 6*time.Hour {
					t.Errorf("next run %v at %v", s.NextRun, time.Now())
				}
				b.mark("at last")
				if err := r.wait(t); err != nil {
					t.Errorf("run: %v", err)
				}
				if got := made(); !slices.Equal(got, []string{"startup", "schedule", "shutdown"}) || b.markIn("latest") != "at last" {
					t.Errorf("at the end: %v, %q", got, b.markIn("latest"))
				}
				if s := b.status(); s.NextRun != nil {
					t.Errorf("next run %v, though nothing runs", s.NextRun)
				}
			})
		})
	}
}

// Lost: backups at the hours that were asked for.
func TestRunByCron(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Cron = "30 * * * *" })
		r := b.run()
		letPass(0)
		for i := range 3 {
			b.mark(fmt.Sprint("hour ", i))
			letPass(time.Hour)
		}
		for _, e := range b.rec.of(snapshot.EventBackedUp)[1:] {
			if at := e.At.Local(); at.Minute() != 30 || e.Trigger != "schedule" {
				t.Errorf("%s backup at %v", e.Trigger, at)
			}
		}
		if n := len(b.rec.of(snapshot.EventBackedUp)); n != 4 {
			t.Errorf("%d backups in three hours and the start, want 4", n)
		}
		r.wait(t)
	})
}

// Lost: what an idle machine is promised: no work, no writes.
func TestRunIdleWritesNothing(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		r := b.run()
		letPass(13 * time.Hour) // past the first scheduled run
		b.rec.forget()
		everything := testdb.DirListing(t, filepath.Dir(b.m.Database()))
		letPass(11*time.Hour - time.Minute) // some 1,300 polls
		if now := testdb.DirListing(t, filepath.Dir(b.m.Database())); now != everything {
			t.Errorf("an idle Run wrote:\n%s\nbefore:\n%s", now, everything)
		}
		if seen := b.rec.of(snapshot.EventBackedUp, snapshot.EventUnchanged, snapshot.EventFailed, snapshot.EventWarning); len(seen) > 0 {
			t.Errorf("an idle Run did %+v", seen)
		}
		letPass(30 * time.Minute) // the backup is read again, as each day
		if b.status().Stored.ReadAgain == nil {
			t.Error("the backup was not read again")
		}
		stored := b.stored()
		letPass(23 * time.Hour) // a scheduled run of an unchanged database
		if now := b.stored(); now != stored {
			t.Errorf("unchanged runs wrote:\n%s\nbefore:\n%s", now, stored)
		}
		r.wait(t)
		if n := len(b.ids()); n != 1 {
			t.Errorf("%d backups of a database that never changed", n)
		}
	})
}

// Lost: protection after a failure that passed; or the failure, unheard.
func TestRunTriesAgain(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		whole := readFile(t, b.m.Database())
		b.damage()
		began := time.Now()
		r := b.run()
		letPass(8 * time.Minute)
		var at []time.Duration
		for _, e := range b.rec.of(snapshot.EventFailed) {
			if e.Operation != "backup" || !errors.Is(e.Err, snapshot.ErrCorrupt) {
				t.Errorf("event %+v", e)
			}
			at = append(at, e.At.Sub(began).Round(time.Second))
		}
		if !slices.Equal(at, []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute}) {
			t.Errorf("tried at %v", at)
		}
		letPass(20 * time.Hour)
		failed := b.rec.of(snapshot.EventFailed)
		if last := failed[len(failed)-1].At.Sub(failed[len(failed)-2].At).Round(time.Second); last != time.Hour {
			t.Errorf("tried again after %v, want every hour at last", last)
		}
		writeFile(t, b.m.Database(), whole)
		letPass(61 * time.Minute)
		if got := triggers(b.rec.of(snapshot.EventBackedUp)); !slices.Equal(got, []string{"startup"}) {
			t.Errorf("after the repair: %v", got)
		}
		b.wants(snapshot.Protected, "")
		r.wait(t)
	})
}

// Lost: the shutdown backup's failure, taken for a success.
func TestRunTellsAFailedShutdownBackup(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		r := b.run()
		letPass(0)
		b.damage()
		if err := r.wait(t); !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("run: %v", err)
		}
	})
}

// Lost: protection of a database that the application makes after the start.
func TestRunWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "data.db")
		b := benchOn(t, path)
		r := b.run()
		letPass(3 * time.Hour)
		if events := b.rec.of(snapshot.EventWarning, snapshot.EventFailed); len(events) != 1 || events[0].Type != snapshot.EventWarning {
			t.Errorf("reported %d times: %+v", len(events), events)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the database was created")
		}
		makeDatabase(t, path, "wal")
		letPass(31 * time.Second)
		if got := triggers(b.rec.of(snapshot.EventBackedUp)); !slices.Equal(got, []string{"startup"}) {
			t.Errorf("backups %v", got)
		}
		if err := r.wait(t); err != nil {
			t.Error(err)
		}
	})
	later(t, func(t *testing.T) {
		b := benchOn(t, filepath.Join(t.TempDir(), "data.db"))
		r := b.run()
		letPass(time.Hour)
		if err := r.wait(t); err != nil {
			t.Errorf("a database that never came: %v", err)
		}
		if failed := b.rec.of(snapshot.EventFailed); len(failed) > 0 {
			t.Errorf("a database that never came failed: %+v", failed)
		}
	})
}

// Lost: the first hours of a new database, whose start-up backup found the empty file that SQLite
// makes first, or looked again only after a while.
func TestRunBacksANewDatabaseUpWithinSeconds(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "data.db")
		b := benchOn(t, path)
		r := b.run()
		letPass(time.Minute)
		writeFile(t, path, nil)
		letPass(time.Minute)
		if made := b.rec.of(snapshot.EventBackedUp); len(made) > 0 {
			t.Errorf("an empty file was backed up: %+v", made)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		makeDatabase(t, path, "wal")
		letPass(3 * time.Second)
		if got := triggers(b.rec.of(snapshot.EventBackedUp)); !slices.Equal(got, []string{"startup"}) {
			t.Errorf("backups %v", got)
		}
		if err := r.wait(t); err != nil {
			t.Error(err)
		}
	})
}

// Lost: the news that a protected database has gone.
func TestRunMissesALostDatabase(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		r := b.run()
		letPass(time.Hour)
		saved := readFile(t, b.m.Database())
		if err := os.Remove(b.m.Database()); err != nil {
			t.Fatal(err)
		}
		letPass(15 * time.Hour)
		failed := b.rec.of(snapshot.EventFailed)
		if len(failed) != 1 || !errors.Is(failed[0].Err, snapshot.ErrMissing) {
			t.Errorf("failure events %+v", failed)
		}
		b.wants(snapshot.AtRisk, "missing")
		writeFile(t, b.m.Database(), saved)
		b.mark("back")
		letPass(31 * time.Second)
		if b.markIn("latest") != "back" {
			t.Error("the database that came back was not backed up")
		}
		b.wants(snapshot.Protected, "")
		if err := r.wait(t); err != nil {
			t.Error(err)
		}
	})
}

// Lost: one of two services on a directory, working against the other.
func TestSecondRunIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	r := b.run()
	b.rec.wait(t, "start-up backup", backedUp(catalog.TriggerStartup))
	other := benchOn(t, b.m.Database())
	err := other.m.Run(t.Context())
	if !errors.Is(err, snapshot.ErrBusy) || snapshot.Code(err) != "busy" || snapshot.Hint(err) == "" {
		t.Errorf("second run: %v (code %s, hint %q)", err, snapshot.Code(err), snapshot.Hint(err))
	}
	if _, err := other.m.Backup(t.Context(), snapshot.Manual("next to a service")); err != nil {
		t.Errorf("a manual backup next to it: %v", err)
	}
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	again := other.run()
	other.rec.wait(t, "start-up of the next service", func(e snapshot.Event) bool { return e.Trigger == "startup" })
	if err := again.wait(t); err != nil {
		t.Error(err)
	}
}

func backedUp(trigger catalog.Trigger) func(snapshot.Event) bool {
	return func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp && e.Trigger == string(trigger) }
}

// Lost: what was written since the last scheduled backup; or a goroutine.
func TestRunBacksUpChanges(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			const spacing = 400 * time.Millisecond
			b := newBench(t, mode, func(c *snapshot.Config) {
				c.Interval, c.OnChange, c.MinSpacing = -1, 30*time.Millisecond, spacing
			})
			app, err := samplecrm.Open(b.m.Database(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer app.Close()
			r := b.run()
			last := b.rec.wait(t, "start-up backup", backedUp(catalog.TriggerStartup))
			for _, name := range []string{"one", "two"} {
				if _, err := app.Exec("UPDATE accounts SET name = ? WHERE id = 1", name); err != nil {
					t.Fatal(err)
				}
				next := b.rec.wait(t, "backup of a change", backedUp(catalog.TriggerChange))
				if got := b.markIn(next.Backup); got != name {
					t.Errorf("the backup has %q, want %q", got, name)
				}
				if apart := next.At.Sub(last.At); apart < spacing-100*time.Millisecond {
					t.Errorf("backups %v apart, at least %v was asked for", apart, spacing)
				}
				last = next
			}
			if err := r.wait(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// Lost: backups of a database that is never quiet.
func TestRunBacksUpABusyDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal", func(c *snapshot.Config) {
		c.Interval, c.OnChange, c.MinSpacing = -1, 300*time.Millisecond, 100*time.Millisecond
	})
	app, err := samplecrm.Open(b.m.Database(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	r := b.run()
	b.rec.wait(t, "start-up backup", backedUp(catalog.TriggerStartup))
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := samplecrm.NewWriter(app, 1).Run(ctx, 50); err != nil {
			t.Error(err)
		}
	})
	b.rec.wait(t, "backup while it is written", backedUp(catalog.TriggerChange))
	b.rec.wait(t, "another", backedUp(catalog.TriggerChange))
	cancel()
	writer.Wait()
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
}

// Lost: Run itself, where it may not make its directory.
func TestRunWithoutDirectory(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	writeFile(t, b.m.Dir(), []byte("a file in the way"))
	if err := b.m.Run(t.Context()); err == nil || snapshot.Hint(err) == "" {
		t.Errorf("run: %v (hint %q)", err, snapshot.Hint(err))
	}
}

// Lost: hours, until the next backup meets the damage. That all is well is not reported each hour.
func TestRunChecksWhatChanged(t *testing.T) {
	t.Parallel()
	testdb.RequireTool(t, "sqlite3") // not in the bubble, where Run is at work
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		r := b.run()
		letPass(0)
		checks := func(of snapshot.EventType) (n int) {
			for _, ev := range b.rec.of(of) {
				if ev.Operation == snapshot.OpCheck {
					n++
				}
			}
			return n
		}
		b.mark("changed")
		letPass(2 * time.Hour)
		if checks(snapshot.EventChecked)+checks(snapshot.EventFailed) != 0 {
			t.Errorf("a sound database: %v", b.activity())
		}
		b.mark("changed again")
		loseIndexRoot(t, b.m.Database())
		letPass(61 * time.Minute)
		if n := checks(snapshot.EventFailed); n != 1 {
			t.Errorf("damaged, and reported %d times", n)
		}
		if s := b.status(); s.Code != snapshot.WhyDamaged {
			t.Errorf("status %s: %s", s.Code, s.Reason)
		}
		r.stop()
		<-r.end // its last backup is refused
	})
}
