package snapshot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// Lost: the way back from a restore, after the dialog that named it is closed; or an
// offer to undo what cannot be.
func TestStatusTellsHowToUndoARestore(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		b := newBench(t, "delete")
		before := b.manual()
		b.mark("changed")
		res, err := b.m.Restore(t.Context(), before.ID, snapshot.RestoreOptions{Offline: offline})
		if err != nil {
			t.Fatal(err)
		}
		b.reopen()
		s := b.status()
		r := s.LastRestore
		if r == nil || r.ID != before.ID || r.Action != "restore" || r.Undo == nil || *r.Undo != *res.SafetyBackup || time.Since(r.At) > time.Minute {
			t.Fatalf("offline %v: %+v", offline, r)
		}
		if s.EstimatedRestoreMS == nil || *s.EstimatedRestoreMS < 1 || *s.EstimatedRestoreMS > 60_000 {
			t.Errorf("offline %v: a restore takes %v", offline, s.EstimatedRestoreMS)
		}
		if _, err := b.m.Restore(t.Context(), *r.Undo, snapshot.RestoreOptions{}); err != nil || b.marked() != "changed" {
			t.Errorf("offline %v: undone to %q, %v", offline, b.marked(), err)
		}
		again := b.status().LastRestore
		if again == nil || again.ID != *r.Undo || again.Undo == nil || *again.Undo == *r.Undo {
			t.Fatalf("offline %v: after the undoing %+v", offline, again)
		}
		if err := b.m.Delete(t.Context(), []string{*again.Undo}, true); err != nil {
			t.Fatal(err)
		}
		if last := b.status().LastRestore; last == nil || last.Undo != nil {
			t.Errorf("offline %v: the way back was deleted, and is offered: %+v", offline, last)
		}
	}
	b := newBench(t, "delete")
	made := b.manual()
	b.damage()
	if _, err := b.m.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := b.status().LastRestore; r == nil || r.ID != made.ID || r.Action != "recover" || r.Undo != nil {
		t.Errorf("after a recovery: %+v", r)
	}
}

// Lost: the state that was chosen, when "latest" brings back the mistake that a restore undid.
func TestLatestAfterARestore(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		b := newBench(t, "wal")
		b.mark("good")
		good := b.manual()
		b.mark("mistake")
		b.manual()
		b.mark("more of it")
		linked := func() string {
			to, err := os.Readlink(filepath.Join(b.m.Dir(), "data_latest.db.zst"))
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSuffix(to, ".db.zst")
		}
		expect := func(when, id string) {
			t.Helper()
			found, err := b.m.Find("latest")
			s := b.status()
			if err != nil || found.ID != id || linked() != id || s.NewestVerified == nil || *s.NewestVerified != id {
				t.Errorf("offline %v, %s: latest %s, %v; link %s; newest verified %v; want %s", offline, when, found.ID, err, linked(), s.NewestVerified, id)
			}
		}
		safety := *b.restores(good.ID, snapshot.RestoreOptions{Offline: offline}).SafetyBackup
		expect("restored", good.ID)
		if stats, err := b.m.Stats(); err != nil || *stats.Latest != good.ID || stats.Count != 3 {
			t.Errorf("offline %v: stats %+v, %v; safety backup %s", offline, stats, err, safety)
		}
		b.restores("latest", snapshot.RestoreOptions{Offline: offline})
		if got := b.marked(); got != "good" {
			t.Errorf("offline %v: restored twice: %q", offline, got)
		}
		if out, err := b.m.Drill(t.Context(), "latest"); err != nil || out.ID != good.ID {
			t.Errorf("offline %v: drilled %s, %v", offline, out.ID, err)
		}
		b.reopen()
		expect("reopened", good.ID)
		b.restores(safety, snapshot.RestoreOptions{Offline: offline})
		expect("undone", safety)
		b.mark("better")
		expect("backed up since", b.auto().ID)
	}
}

// Lost: how long a restore takes, where a drill has measured it.
func TestStatusKnowsRestoreTimeFromADrill(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.manual()
	if ms := b.status().EstimatedRestoreMS; ms != nil {
		t.Errorf("before anything was measured: %d ms", *ms)
	}
	if _, err := b.m.Drill(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if ms := b.status().EstimatedRestoreMS; ms == nil || *ms < 1 || *ms > 60_000 {
		t.Errorf("after a drill: %v", ms)
	}
}

// Lost: which schedule the running service follows; or status shows one that no service follows.
func TestStatusShowsTheScheduleOfTheRunningService(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		edit func(*snapshot.Config)
		want snapshot.Schedule
	}{
		{func(c *snapshot.Config) { c.Interval = 6 * time.Hour }, snapshot.Schedule{IntervalSeconds: 6 * 3600}},
		{func(c *snapshot.Config) { c.Cron = "0 3 * * *" }, snapshot.Schedule{Cron: "0 3 * * *"}},
	} {
		later(t, func(t *testing.T) {
			b := newBench(t, "delete", c.edit)
			r := b.run()
			letPass(time.Minute)
			other, err := snapshot.Open(t.Context(), snapshot.Config{Database: b.m.Database()})
			if err != nil {
				t.Fatal(err)
			}
			if s, err := other.Status(t.Context()); err != nil || s.Schedule == nil || *s.Schedule != c.want {
				t.Errorf("%+v, %v; want %+v", s.Schedule, err, c.want)
			}
			if err := r.wait(t); err != nil {
				t.Fatal(err)
			}
			if s := b.status(); s.Schedule != nil {
				t.Errorf("stopped, and %+v", s.Schedule)
			}
		})
	}
}

// Lost: the way back from a restore that a crash cut short, and that was finished
// later, or that had only its record still to be written.
func TestFinishedRestoreCanBeUndone(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"intent written", "renamed", "intent removed"} {
		t.Run(point, func(t *testing.T) {
			b := newBench(t, "delete")
			before := b.backup(snapshot.Manual(manualNote))
			b.mark("changed")
			dir := filepath.Join(t.TempDir(), "work") // which this process has never opened
			command(t, "cp", "-a", filepath.Dir(b.m.Database()), dir)
			if got := crashAt(t, "restore offline", filepath.Join(dir, "data.db"), point); got != point {
				t.Fatalf("died at %q", got)
			}
			b = benchOn(t, filepath.Join(dir, "data.db"))
			safety := ""
			for _, e := range b.activity() {
				if e.Trigger == string(catalog.TriggerPreRestore) {
					safety = e.Backup
				}
			}
			if r := b.status().LastRestore; r == nil || r.ID != before.ID || r.Undo == nil || *r.Undo != safety {
				t.Errorf("%+v, safety backup %s", r, safety)
			}
		})
	}
}
