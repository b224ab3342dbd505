package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// phasesOf runs an operation and returns its phases in order, and how far each came.
func (b *bench) phasesOf(do func() error) (names []string, last map[string]snapshot.Event) {
	b.t.Helper()
	last = map[string]snapshot.Event{}
	defer b.m.Subscribe(func(ev snapshot.Event) {
		if ev.Type != snapshot.EventProgress {
			return
		}
		if before, seen := last[string(ev.Phase)]; !seen {
			names = append(names, string(ev.Phase))
		} else if ev.Done < before.Done && ev.Total == before.Total {
			b.t.Errorf("%s goes back from %d to %d", ev.Phase, before.Done, ev.Done)
		}
		last[string(ev.Phase)] = ev
	})()
	if err := do(); err != nil {
		b.t.Fatal(err)
	}
	return names, last
}

// Lost: the bar that moves while a large backup is proven.
func TestVerifyAndDrillCountBytes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	for op, c := range map[string]struct {
		do    func() error
		first string
	}{
		"verify": {func() error { _, err := b.m.Verify(t.Context(), e.ID, integrity.LevelFull); return err }, "read back"},
		"drill":  {func() error { _, err := b.m.Drill(t.Context(), e.ID); return err }, "unpack"},
	} {
		names, last := b.phasesOf(c.do)
		if !slices.Equal(names, []string{c.first, "check"}) {
			t.Errorf("%s: phases %v", op, names)
		}
		if p := last[c.first]; string(p.Operation) != op || p.Backup != e.ID || p.Total != e.DatabaseBytes || p.Done != p.Total {
			t.Errorf("%s: %+v", op, p)
		}
	}
}

// Lost: the disk, to a WAL that the application cannot restart while the stored bytes
// are read back and the database is no longer read.
func TestSnapshotEndsBeforeTheProof(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	app := testdb.Open(t, b.m.Database())
	var busy, frames, moved int
	defer b.m.Subscribe(func(ev snapshot.Event) {
		if ev.Phase != "read back" || ev.Done > 0 {
			return
		}
		if err := app.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved); err != nil {
			t.Error(err)
		}
		frames++ // it was asked
	})()
	if _, err := app.Exec("CREATE TABLE in_the_log(x)"); err != nil {
		t.Fatal(err)
	}
	b.manual()
	if busy != 0 || frames != 1 {
		t.Errorf("busy %d, %d frames left", busy, frames)
	}
}

// Lost: yesterday's state or today's, when a caller cancels at the wrong moment. In
// every phase up to the point of no return the old state stays, whole; from there on
// the new one comes, whole, and cancelling is no error.
func TestCancelInEveryPhase(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, offline := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/offline %v", mode, offline), func(t *testing.T) {
				fresh := func() (*bench, snapshot.Backup) {
					b := newBench(t, mode)
					b.mark("yesterday")
					e := b.manual()
					b.mark("today")
					return b, e
				}
				b, e := fresh()
				phases, _ := b.phasesOf(func() error {
					_, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{Offline: offline})
					return err
				})
				commit := slices.Index(phases, "commit")
				if commit < 3 || commit != len(phases)-1 {
					t.Fatalf("phases %v", phases)
				}
				for _, phase := range phases {
					b, e := fresh()
					ctx, stop := b.cancelledIn(phase)
					_, err := b.m.Restore(ctx, e.ID, snapshot.RestoreOptions{Offline: offline})
					stop()
					want, backups := "today", 1
					if phase == "commit" {
						want, backups = "yesterday", 2
						if err != nil {
							t.Errorf("cancelled in %s: %v", phase, err)
						}
					} else if !errors.Is(err, context.Canceled) {
						t.Errorf("cancelled in %s: %v", phase, err)
					}
					if got := b.marked(); got != want {
						t.Errorf("cancelled in %s: mark %q, want %q", phase, got, want)
					}
					if ids := b.ids(); len(ids) != backups {
						t.Errorf("cancelled in %s: backups %v", phase, ids)
					}
					b.sound()
					b.noDebris()
				}
			})
		}
	}
}

// Lost: the same for a recovery: the damaged file as it was, or the good one.
func TestCancelRecoveryInEveryPhase(t *testing.T) {
	t.Parallel()
	fresh := func() *bench {
		b := newBench(t, "delete")
		b.manual()
		b.damage()
		return b
	}
	b := fresh()
	phases, _ := b.phasesOf(func() error { _, err := b.m.Recover(t.Context()); return err })
	if len(phases) < 2 || phases[len(phases)-1] != "commit" {
		t.Fatalf("phases %v", phases)
	}
	for _, phase := range phases {
		b := fresh()
		before := b.appFiles()
		ctx, stop := b.cancelledIn(phase)
		rec, err := b.m.Recover(ctx)
		stop()
		if phase == "commit" {
			if err != nil || rec.Action != snapshot.ActionRestored {
				t.Errorf("cancelled in %s: %v %v", phase, rec.Action, err)
			}
			b.sound()
		} else if !errors.Is(err, context.Canceled) || b.appFiles() != before {
			t.Errorf("cancelled in %s: %v, and the database changed: %v", phase, err, b.appFiles() != before)
		}
		b.noDebris()
	}
}
