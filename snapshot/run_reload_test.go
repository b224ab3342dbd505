package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// Lost: protection, taken for failed because an old backup could not be removed; or that
// removal, which is tried again by itself.
func TestRunPrunesAgain(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Retention = snapshot.Policy{Last: 1, Daily: catalog.None} })
		var failing atomic.Bool
		kept := "" // the archive that cannot be removed, while it is being tried
		defer durable.Observe(&durable.Observer{Before: func(s durable.Step, path string) {
			if s == durable.StepRemove && failing.Load() && filepath.Dir(path) == b.m.Dir() && strings.HasSuffix(path, archive.Ext) && strings.Contains(path, "_AUTO_") {
				kept = path
				must(t, os.Rename(path, path+".kept"))
				must(t, os.MkdirAll(filepath.Join(path, "full"), 0o700))
			}
		}})()
		defer b.m.Subscribe(func(ev snapshot.Event) {
			if ev.Type == snapshot.EventFailed && kept != "" {
				must(t, os.RemoveAll(kept))
				must(t, os.Rename(kept+".kept", kept))
				kept = ""
			}
		})()
		r := b.run()
		letPass(time.Minute)
		b.mark("changed")
		failing.Store(true)
		letPass(12*time.Hour + 8*time.Minute)
		if got := triggers(b.rec.of(snapshot.EventBackedUp)); !slices.Equal(got, []string{"startup", "schedule"}) {
			t.Errorf("backups: %v", got)
		}
		failed := b.rec.of(snapshot.EventFailed)
		for i, want := range []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute} {
			if i >= len(failed) || failed[i].Operation != snapshot.OpPrune {
				t.Fatalf("failures: %v", failed)
			}
			if late := failed[i].At.Sub(failed[0].At) - want; late < 0 || late > time.Minute {
				t.Errorf("attempt %d %v late", i, late)
			}
		}
		s := b.wants(snapshot.Protected, "")
		if s.PruneFailed == nil || !strings.Contains(s.PruneFailed.Message, "remove data_backup_AUTO") {
			t.Errorf("the failure: %+v", s.PruneFailed)
		}
		failing.Store(false)
		letPass(time.Hour)
		if s := b.status(); s.PruneFailed != nil || len(b.ids()) != 1 {
			t.Errorf("in the end: %+v, %v", s.PruneFailed, b.ids())
		}
		if err := r.wait(t); err != nil {
			t.Error(err)
		}
	})
}

// Lost: sleep, over a backup that the service never promised.
func TestStatusPromisesWhatTheServiceDoes(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = -1 })
		r := b.run()
		letPass(time.Minute)
		b.mark("changed")
		letPass(13 * time.Hour)
		other, err := snapshot.Open(t.Context(), snapshot.Config{Database: b.m.Database()})
		must(t, err)
		s, err := other.Status(t.Context())
		must(t, err)
		if s.State != snapshot.Protected || s.Schedule != nil || s.NextRun != nil {
			t.Errorf("%s: %s, %+v", s.State, s.Reason, s.Schedule)
		}
		if err := r.wait(t); err != nil {
			t.Error(err)
		}
	})
}

// Lost: the end in good order, where a container is killed ten seconds after it was asked to stop.
func TestRunStopsInTime(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"delete", "wal"} {
		later(t, func(t *testing.T) {
			b := newBench(t, mode, func(c *snapshot.Config) { c.LockWait = time.Hour })
			r := b.run()
			letPass(time.Minute)
			b.mark("changed")
			db, err := samplecrm.Open(b.m.Database(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			if _, err := db.Exec("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE"); err != nil {
				t.Fatal(err)
			}
			asked := time.Now()
			r.stop()
			if err := <-r.end; !errors.Is(err, snapshot.ErrBusy) {
				t.Errorf("%s: run: %v", mode, err)
			}
			if took := time.Since(asked); took > 8*time.Second || took < 5*time.Second {
				t.Errorf("%s: stopped after %v", mode, took)
			}
		})
	}
}

// Lost: what a person changed in the configuration; or the protection, at the change.
func TestRunReloads(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		r := b.run()
		letPass(time.Minute)
		if err := b.m.Reload(snapshot.Config{Continuous: -1, Interval: time.Millisecond}); err == nil {
			t.Error("an interval of a millisecond was taken")
		}
		if err := b.m.Reload(snapshot.Config{Continuous: -1, Interval: time.Hour, Retention: snapshot.Policy{Last: 2}}); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			b.mark(fmt.Sprint(i))
			letPass(time.Hour)
		}
		if got := triggers(b.rec.of(snapshot.EventBackedUp)); !slices.Equal(got, []string{"startup", "schedule", "schedule", "schedule", "schedule"}) {
			t.Errorf("hourly: %v", got)
		}
		if n := len(b.ids()); n != 2 {
			t.Errorf("%d backups are kept, want 2", n)
		}
		if s := b.status(); s.Schedule == nil || s.Schedule.IntervalSeconds != 3600 || s.NextRun == nil {
			t.Errorf("status: %+v, next %v", s.Schedule, s.NextRun)
		}
		if err := b.m.Reload(snapshot.Config{Continuous: -1, Interval: -1}); err != nil {
			t.Fatal(err)
		}
		letPass(0)
		if s := b.status(); s.Schedule != nil || s.NextRun != nil {
			t.Errorf("without a schedule: %+v, next %v", s.Schedule, s.NextRun)
		}
		if err := r.wait(t); err != nil {
			t.Error(err)
		}
	})
}

// Lost: backups after changes, where they were asked for after the start.
func TestRunReloadsOnChange(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	r := b.run()
	b.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventScheduled })
	if err := b.m.Reload(snapshot.Config{Continuous: -1, OnChange: 10 * time.Millisecond, MinSpacing: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	b.rec.wait(t, "the schedule", func(e snapshot.Event) bool { return e.Type == snapshot.EventScheduled })
	b.mark("changed")
	b.rec.wait(t, "a backup after the change", func(e snapshot.Event) bool {
		return e.Type == snapshot.EventBackedUp && e.Trigger == string(catalog.TriggerChange)
	})
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
}
