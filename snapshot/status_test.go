package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// wants fails the test unless the status is state, for a reason with those words.
func (b *bench) wants(state snapshot.Protection, words string) snapshot.Status {
	b.t.Helper()
	before := b.stored()
	s := b.status()
	if s.State != state || !strings.Contains(s.Reason, words) {
		b.t.Errorf("status %s: %q, want %s: …%s…", s.State, s.Reason, state, words)
	}
	if b.stored() != before {
		b.t.Error("asking for the status changed the directory")
	}
	return s
}

// why fails the test unless that is the status's code, of the state it belongs to.
func (b *bench) why(code snapshot.Why, words string) snapshot.Status {
	b.t.Helper()
	state := snapshot.AtRisk
	switch code {
	case snapshot.WhyNoBackup, snapshot.WhyUnverified:
		state = snapshot.Unprotected
	case snapshot.WhyUnchanged, snapshot.WhyRecent:
		state = snapshot.Protected
	}
	s := b.wants(state, words)
	if s.Code != code {
		b.t.Errorf("the code is %s (%s), want %s", s.Code, s.Reason, code)
	}
	return s
}

// Lost: the answer to "is the data safe?", when it is not.
func TestStatusOverTime(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		s := b.why(snapshot.WhyNoBackup, "no verified backup")
		if s.NewestVerified != nil || s.LossWindow != nil || s.Covered {
			t.Errorf("without a backup: %+v", s)
		}
		e := b.auto()
		sleepHours(1)
		s = b.why(snapshot.WhyUnchanged, "unchanged")
		if *s.NewestVerified != e.ID || *s.LossWindow < 3600 || *s.LossWindow > 3660 || !s.Covered || s.NextRun != nil {
			t.Errorf("an hour later: %+v", s)
		}
		if s.Database.Path != b.m.Database() || s.Database.Bytes != size(t, b.m.Database()) || *s.Database.Verdict != integrity.Healthy {
			t.Errorf("database %+v", s.Database)
		}
		sleepHours(100)
		b.why(snapshot.WhyUnchanged, "unchanged") // idle, not overdue

		b.mark("changed")
		if s = b.why(snapshot.WhyOverdue, "was due"); s.Covered {
			t.Errorf("covered after a change: %+v", s)
		}
		b.auto()
		sleepHours(11)
		b.mark("changed again")
		b.why(snapshot.WhyRecent, "11 hours ago")
		sleepHours(2)
		b.why(snapshot.WhyOverdue, "was due")
	})
}

// Lost: an overdue backup of a cron schedule; or a night's sleep, for one that
// is not due.
func TestStatusOfCronSchedule(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Cron = "0 3 * * *" })
		b.auto()
		b.mark("changed")
		next := time.Date(2100, 1, 1, 3, 0, 0, 0, time.Local)
		for !next.After(time.Now()) {
			next = next.AddDate(0, 0, 1)
		}
		time.Sleep(time.Until(next) - time.Minute)
		b.why(snapshot.WhyRecent, "newest verified backup")
		sleepHours(1)
		b.why(snapshot.WhyOverdue, "was due")
	})
}

// Lost: the reason why, and with it what to do.
func TestStatusReasons(t *testing.T) {
	t.Parallel()
	t.Run("no schedule, no due date", func(t *testing.T) {
		later(t, func(t *testing.T) {
			b := newBench(t, "delete", func(c *snapshot.Config) { c.Interval = -1 })
			b.manual()
			b.mark("changed")
			sleepHours(1000)
			b.why(snapshot.WhyRecent, "newest verified backup")
		})
	})
	t.Run("damaged", func(t *testing.T) {
		b := newBench(t, "delete")
		b.auto()
		testdb.OverwriteHeader(t, b.m.Database(), make([]byte, 100))
		b.why(snapshot.WhyDamaged, "damaged")
	})
	t.Run("damaged, seen by a deeper check only", func(t *testing.T) {
		b := newBench(t, "delete")
		b.auto()
		b.damage()
		report, err := b.m.Check(t.Context(), integrity.LevelQuick)
		if err != nil || !report.Damaged() {
			t.Fatalf("check: %+v %v", report, err)
		}
		b.why(snapshot.WhyDamaged, "damaged")
	})
	t.Run("missing", func(t *testing.T) {
		b := newBench(t, "delete")
		b.auto()
		if err := os.Remove(b.m.Database()); err != nil {
			t.Fatal(err)
		}
		if s := b.why(snapshot.WhyMissing, "missing"); *s.Database.Verdict != integrity.Missing || s.Database.Bytes != 0 {
			t.Errorf("status %+v", s)
		}
	})
	t.Run("emptied", func(t *testing.T) {
		b := newBench(t, "delete")
		b.auto()
		testdb.CutAt(t, b.m.Database(), 0)
		b.why(snapshot.WhyMissing, "empty")
	})
	t.Run("missing, found out by a backup, and restored", func(t *testing.T) {
		b := newBench(t, "delete")
		id := b.auto()
		if err := os.Remove(b.m.Database()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, snapshot.ErrMissing) {
			t.Errorf("backup of nothing: %v", err)
		}
		if _, err := b.m.Restore(t.Context(), id.ID, snapshot.RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		b.wants(snapshot.Protected, "")
	})
	t.Run("locked", func(t *testing.T) {
		b := newBench(t, "delete", func(c *snapshot.Config) { c.LockWait = 100 * time.Millisecond })
		b.auto()
		end := shell(t, b.m.Database(), "BEGIN EXCLUSIVE")
		if s := b.why(snapshot.WhyCheckFailed, "could not be checked"); s.Database.Verdict != nil {
			t.Errorf("a verdict without a look: %+v", s)
		}
		if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, snapshot.ErrBusy) {
			t.Errorf("backup of a locked database: %v", err)
		}
		end()
		b.why(snapshot.WhyFailed, "last backup failed")
		b.manual()
		b.wants(snapshot.Protected, "")
	})
	t.Run("only unproven ones", func(t *testing.T) {
		b := newBench(t, "delete")
		b.auto()
		if _, err := b.m.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.why(snapshot.WhyUnverified, "no verified backup")
	})
	t.Run("catalog damaged meanwhile", func(t *testing.T) {
		b := newBench(t, "delete")
		b.auto()
		testdb.CutAt(t, filepath.Join(b.m.Dir(), "catalog.json"), 100)
		b.status()
		b.why(snapshot.WhyUnverified, "no verified backup")
		log, _, err := b.m.Activity("", 10)
		if err != nil || len(log) < 2 || log[0].Action != "rebuild" || !strings.Contains(log[0].Detail, "catalog rebuilt") || log[1].Action != "backup" {
			t.Errorf("the log, which must say why once: %v, %v", log, err)
		}
	})
	t.Run("archive gone", func(t *testing.T) {
		b := newBench(t, "delete")
		if err := os.Remove(b.m.ArchivePath(b.auto())); err != nil {
			t.Fatal(err)
		}
		b.why(snapshot.WhyArchiveGone, "is gone")
	})
	t.Run("from the future", func(t *testing.T) {
		ahead := time.Now().AddDate(0, 0, 2)
		b := newBench(t, "delete", func(c *snapshot.Config) { c.Now = func() time.Time { return ahead } })
		b.auto()
		b.mark("changed")
		b.cfg.Now = nil
		b.reopen()
		b.why(snapshot.WhyClock, "clock")
	})
	t.Run("cancelled", func(t *testing.T) {
		b := newBench(t, "delete")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.m.Status(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// Lost: programs that read the figures.
func TestStatusAndStatsForms(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	form := wantKeys(t, b.status(), "state", "code", "reason", "database", "newest_verified", "loss_window_seconds", "covered", "stored", "next_run",
		"schedule", "prune_failed", "last_drill", "last_restore", "estimated_restore_ms", "free_bytes", "recovered", "quarantined", "break", "continuous", "receivers", "recovery", "remotes")
	wantKeys(t, form["database"], "path", "bytes", "verdict")
	if free, ok := form["free_bytes"].(float64); !ok || free <= 0 {
		t.Errorf("free space %v", form["free_bytes"])
	}
	for _, name := range []string{"newest_verified", "loss_window_seconds", "next_run", "schedule", "last_drill", "last_restore", "estimated_restore_ms", "recovery"} {
		if form[name] != nil {
			t.Errorf("%s is %v, want null", name, form[name])
		}
	}
	stats := func() map[string]any {
		s, err := b.m.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return wantKeys(t, s, "count", "automatic", "manual", "total_size", "total_size_mb", "latest", "latest_time", "oldest", "oldest_time")
	}
	if s := stats(); s["count"] != 0.0 || s["latest"] != nil || s["oldest_time"] != nil || s["total_size_mb"] != 0.0 {
		t.Errorf("stats of nothing: %v", s)
	}
	made := b.several(2)
	manual := b.manual()
	s := stats()
	total := float64(made[0].ArchiveBytes + made[1].ArchiveBytes + manual.ArchiveBytes)
	if s["count"] != 3.0 || s["automatic"] != 2.0 || s["manual"] != 1.0 || s["total_size"] != total || s["latest"] != manual.ID || s["oldest"] != made[0].ID {
		t.Errorf("stats %v", s)
	}
	if mib := s["total_size_mb"].(float64); mib > total/(1<<20) || mib < total/(1<<20)-0.01 {
		t.Errorf("%v MiB of %v bytes", mib, total)
	}
	if s["latest_time"] != manual.CreatedAt.Format(time.RFC3339Nano) || s["oldest_time"] != made[0].CreatedAt.Format(time.RFC3339Nano) {
		t.Errorf("times %v, %v", s["latest_time"], s["oldest_time"])
	}
}
