package snapshot_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func (b *bench) planned(id string) snapshot.RestorePlan {
	b.t.Helper()
	p, err := b.m.PlanRestore(b.t.Context(), id)
	if err != nil {
		b.t.Fatalf("plan %s: %v", id, err)
	}
	if p.EstimatedMS < 1 || p.LosesSeconds < 0 || p.LosesSince == nil && p.LosesSeconds != 0 {
		b.t.Errorf("plan %+v", p)
	}
	return p
}

// edit changes an entry behind the Manager's back.
func (b *bench) edit(id string, change func(*snapshot.Backup)) {
	b.t.Helper()
	c, err := catalogfile.Open(b.m.Dir(), "data")
	if err == nil {
		err = c.Update(b.t.Context(), func(tx *catalogfile.Tx) error {
			e, err := tx.Get(id)
			if err != nil {
				return err
			}
			change(&e)
			return tx.Put(e)
		})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Lost: the truth of the sentence that an administrator decides by: what a restore costs.
func TestPlanSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "persist"} {
		later(t, func(t *testing.T) {
			b := newBench(t, mode)
			before := b.appFiles()
			e := b.manual()
			sleepHours(2)
			p := b.planned("latest")
			if p.LosesSince != nil || !p.SafetyBackup || p.Backup.ID != e.ID {
				t.Errorf("%s: unchanged, and %+v", mode, p)
			}
			if b.appFiles() != before {
				t.Errorf("%s: planning changed the database", mode)
			}
			b.mark("today")
			sleepHours(3)
			p = b.planned(e.ID)
			if p.LosesSince == nil || !p.LosesSince.Equal(e.CreatedAt) || p.LosesSeconds != 5*3600 || !p.SafetyBackup {
				t.Errorf("%s: changed, and %+v", mode, p)
			}
			// What a live writer adds is covered by "all changes since", however long it waited.
			b.mark("tonight")
			sleepHours(1)
			res := b.restores(e.ID, snapshot.RestoreOptions{Plan: &p})
			if res.SafetyBackup == nil || b.markIn(*res.SafetyBackup) != "tonight" {
				t.Errorf("%s: %+v", mode, res)
			}
			undo := b.planned(*res.SafetyBackup)
			if undo.LosesSince == nil || undo.LosesSince.Before(*p.LosesSince) {
				t.Errorf("%s: undo %+v", mode, undo)
			}
			b.restores(*res.SafetyBackup, snapshot.RestoreOptions{Plan: &undo})
			if got := b.marked(); got != "tonight" {
				t.Errorf("%s: undone to %q", mode, got)
			}
		})
	}
}

// Lost: a needless fright, where a later backup proves that nothing changed; and
// the proof, where it is only that no backup says otherwise.
func TestPlanByAnotherBackupOfTheSameImage(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "delete")
		older := b.manual()
		at := time.Now()
		if err := os.Chtimes(b.m.Database(), at, at); err != nil {
			t.Fatal(err)
		}
		sleepHours(1)
		if p := b.planned(older.ID); p.LosesSince == nil {
			t.Errorf("the file was touched, and %+v", p)
		}
		newer := b.manual()
		if p := b.planned(older.ID); p.LosesSince != nil || newer.ImageBLAKE3 != older.ImageBLAKE3 {
			t.Errorf("a newer backup is the same, and %+v", p)
		}
		b.edit(newer.ID, func(e *snapshot.Backup) { e.Verification.State = catalog.Failed })
		if p := b.planned(older.ID); p.LosesSince == nil {
			t.Errorf("the newer backup is not proven, and %+v", p)
		}
	})
}

// Lost: the warning, to a clock that was ahead when the backup was made.
func TestPlanDoubtsTheFuture(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		var made []snapshot.Backup
		for range 3 {
			b.mark(time.Now().String())
			made = append(made, b.manual())
			sleepHours(1)
		}
		b.mark("today")
		since := func(id string) time.Time {
			p := b.planned(id)
			if p.LosesSince == nil || p.LosesSince.After(time.Now()) {
				t.Fatalf("%+v", p)
			}
			return *p.LosesSince
		}
		future := func(id string, years int) {
			b.edit(id, func(e *snapshot.Backup) { e.CreatedAt = e.CreatedAt.AddDate(years, 0, 0) })
		}
		future(made[1].ID, 5)
		if got := since(made[1].ID); !got.Equal(made[0].CreatedAt) {
			t.Errorf("dated in the future: since %v", got)
		}
		if got := since(made[2].ID); !got.Equal(made[2].CreatedAt) {
			t.Errorf("its neighbour: since %v", got)
		}
		future(made[1].ID, -5)
		b.edit(made[1].ID, func(e *snapshot.Backup) { e.CreatedAt = made[2].CreatedAt.Add(time.Minute) })
		if got := since(made[1].ID); !got.Equal(made[0].CreatedAt) {
			t.Errorf("dated after its successor: since %v", got)
		}
		future(made[0].ID, 5)
		if got := since(made[0].ID); got.Year() != 1970 {
			t.Errorf("no date can be relied on: since %v", got)
		}
	})
}

// Lost: the only copy of what a damaged file still holds, if the plan promised a
// backup of it; and the restore, if it could never be planned.
func TestPlanForDamagedAndMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage     func(b *bench)
		quarantine bool
	}{
		"no database":  {func(b *bench) { testdb.OverwriteHeader(b.t, b.m.Database(), []byte("nothing that SQLite would know")) }, true},
		"cut short":    {func(b *bench) { testdb.CutAt(b.t, b.m.Database(), 5000) }, true},
		"missing":      {func(b *bench) { b.remove() }, false},
		"of no length": {func(b *bench) { writeFile(b.t, b.m.Database(), nil) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "delete")
			e := b.manual()
			c.damage(b)
			p := b.planned(e.ID)
			if p.SafetyBackup || p.LosesSince == nil {
				t.Fatalf("%+v", p)
			}
			res := b.restores(e.ID, snapshot.RestoreOptions{Plan: &p})
			if res.SafetyBackup != nil || (res.Quarantined != "") != c.quarantine {
				t.Errorf("%+v", res)
			}
		})
	}
}

func (b *bench) remove() {
	b.t.Helper()
	if err := os.Remove(b.m.Database()); err != nil {
		b.t.Fatal(err)
	}
}

// Lost: data that was believed to be saved first. The damage shows only when
// the state is saved: the restore stops, and the next plan knows.
func TestDamageFoundAfterThePlan(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	e := b.manual()
	testdb.ZeroPage(t, b.m.Database(), e.PageCount-1) // a leaf, which no probe reads
	p := b.planned(e.ID)
	if !p.SafetyBackup {
		t.Fatal("the probe saw it: this test shows nothing")
	}
	before := testdb.FileHash(t, b.m.Database())
	if _, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{Plan: &p}); !errors.Is(err, snapshot.ErrStale) || snapshot.Code(err) != "stale" {
		t.Fatal(err)
	}
	if testdb.FileHash(t, b.m.Database()) != before || len(b.ids()) != 1 {
		t.Errorf("something was changed: %v", b.ids())
	}
	b.noDebris()
	p = b.planned(e.ID)
	if p.SafetyBackup {
		t.Fatalf("%+v", p)
	}
	if res := b.restores(e.ID, snapshot.RestoreOptions{Plan: &p}); res.Quarantined == "" {
		t.Errorf("%+v", res)
	}
}

// Lost: what was done between reading the plan and confirming it.
func TestPlanGoesOutOfDate(t *testing.T) {
	t.Parallel()
	write := func(b *bench) { b.mark("after the plan") }
	for name, c := range map[string]struct {
		before, after func(b *bench, e snapshot.Backup)
		plan          func(p *snapshot.RestorePlan) // makes another one of it
	}{
		"nothing was to be lost, and it is written to": {after: func(b *bench, _ snapshot.Backup) { write(b) }},
		"the file was replaced": {after: func(b *bench, _ snapshot.Backup) {
			image := readFile(b.t, b.m.Database())
			writeFile(b.t, b.m.Database()+".new", image)
			if err := os.Rename(b.m.Database()+".new", b.m.Database()); err != nil {
				b.t.Fatal(err)
			}
		}},
		"the file went": {after: func(b *bench, _ snapshot.Backup) { b.remove() }},
		"a backup was restored": {before: func(b *bench, _ snapshot.Backup) { write(b) },
			after: func(b *bench, e snapshot.Backup) { b.restores(e.ID, snapshot.RestoreOptions{}) }},
		"the backup was found to be damaged": {after: func(b *bench, e snapshot.Backup) {
			b.damageArchive(e)
			if _, err := b.m.Verify(b.t.Context(), e.ID, integrity.LevelQuick); !errors.Is(err, snapshot.ErrCorrupt) {
				b.t.Fatal(err)
			}
		}},
		"the backup became another": {after: func(b *bench, e snapshot.Backup) {
			b.edit(e.ID, func(e *snapshot.Backup) { e.ImageBLAKE3 = "00" + e.ImageBLAKE3[2:] })
		}},
		"the database was found to be damaged": {before: func(b *bench, _ snapshot.Backup) { write(b); b.damage() },
			after: func(b *bench, _ snapshot.Backup) {
				if r, err := b.m.Check(b.t.Context(), integrity.LevelQuick); err != nil || !r.Damaged() {
					b.t.Fatal(r, err)
				}
			}},
		"it is no plan at all":     {plan: func(p *snapshot.RestorePlan) { *p = snapshot.RestorePlan{Backup: p.Backup} }},
		"it is for another backup": {plan: func(p *snapshot.RestorePlan) { p.Backup.ID = "data_backup_MANUAL_20200101_000000" }},
	} {
		t.Run(name, func(t *testing.T) {
			later(t, func(t *testing.T) {
				b := newBench(t, "delete")
				e := b.manual()
				do := func(f func(*bench, snapshot.Backup)) {
					if f != nil {
						f(b, e)
					}
				}
				do(c.before)
				p := b.planned(e.ID)
				if (p.LosesSince != nil) != (c.before != nil) {
					t.Fatalf("%+v", p)
				}
				do(c.after)
				if c.plan != nil {
					c.plan(&p)
				}
				before := b.appFiles()
				if _, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{Plan: &p}); !errors.Is(err, snapshot.ErrStale) {
					t.Errorf("restored by an old plan: %v", err)
				}
				if b.appFiles() != before {
					t.Error("the database was touched")
				}
				b.noDebris()
			})
		})
	}
}

// Lost: a commit that came while the backup was being proven. That nothing is lost
// is compared under the lock under which it is replaced.
func TestWriterComesBetweenPlanAndRestore(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for phase, offline := range map[string]bool{"prove": false, "unpack": true} {
			later(t, func(t *testing.T) {
				b := newBench(t, mode)
				e := b.manual()
				sleepHours(1)
				p := b.planned(e.ID)
				if p.LosesSince != nil {
					t.Fatalf("%+v", p)
				}
				written := false
				defer b.m.Subscribe(func(ev snapshot.Event) {
					if ev.Type == snapshot.EventProgress && string(ev.Phase) == phase && !written {
						written = true
						b.mark("in between")
					}
				})()
				_, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{Plan: &p, Offline: offline})
				if !errors.Is(err, snapshot.ErrStale) || !written {
					t.Errorf("%s, %s: %v", mode, phase, err)
				}
				if got := b.marked(); got != "in between" || len(b.ids()) != 1 {
					t.Errorf("%s, %s: mark %q, backups %v", mode, phase, got, b.ids())
				}
				b.noDebris()
			})
		}
	}
}

// Lost: a plan at all, for what cannot be restored.
func TestPlanOfNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.several(2)
	plan := func(id string) error {
		_, err := b.m.PlanRestore(context.Background(), id)
		return err
	}
	if err := plan("nosuch"); !errors.Is(err, snapshot.ErrNotFound) {
		t.Error(err)
	}
	if err := os.Remove(b.m.ArchivePath(made[0])); err != nil {
		t.Fatal(err)
	}
	if err := plan(made[0].ID); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("the archive is gone: %v", err)
	}
	b.edit(made[1].ID, func(e *snapshot.Backup) { e.Verification.State = catalog.Failed })
	if err := plan(made[1].ID); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Errorf("it failed its proof: %v", err)
	}
	p := snapshot.RestorePlan{Backup: made[1]}
	if _, err := b.m.Restore(t.Context(), made[1].ID, snapshot.RestoreOptions{Plan: &p, To: "x.db"}); !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("a plan for another file: %v", err)
	}
}

// Lost: patience, to an estimate without a measurement. The last drill and the newest
// backup show how fast this machine is, unless they were too small.
func TestPlanEstimatesByWhatWasMeasured(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	e := b.manual()
	if p := b.planned(e.ID); p.EstimatedMS > 5000 {
		t.Errorf("a small database: %d ms", p.EstimatedMS)
	}
	drilled := func(bytes, ms int64) {
		b.edit(e.ID, func(e *snapshot.Backup) { e.DatabaseBytes, e.DurationMS = bytes, 1 })
		c, err := catalogfile.Open(b.m.Dir(), "data")
		if err == nil {
			err = c.Update(t.Context(), func(tx *catalogfile.Tx) error {
				tx.State().LastDrill = &catalog.DrillOutcome{ID: e.ID, At: time.Now(), Verdict: "healthy", DurationMS: ms}
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	drilled(100<<20, 7000)
	if p := b.planned(e.ID); p.EstimatedMS < 7000 || p.EstimatedMS > 7500 {
		t.Errorf("a drill of it took 7 s: %d ms", p.EstimatedMS)
	}
	other := b.manual()
	b.edit(other.ID, func(e *snapshot.Backup) { e.DatabaseBytes = 200 << 20 })
	if p := b.planned(other.ID); p.EstimatedMS < 14000 || p.EstimatedMS > 15000 {
		t.Errorf("twice as large: %d ms", p.EstimatedMS)
	}
	drilled(1<<20, 300)
	b.edit(other.ID, func(e *snapshot.Backup) { e.DatabaseBytes = 4 << 30 })
	if p := b.planned(other.ID); p.EstimatedMS < 10000 || p.EstimatedMS > 20000 {
		t.Errorf("4 GiB, after a drill too small to show it: %d ms", p.EstimatedMS)
	}
}
