package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// cancelledIn returns a context that is cancelled in the first event of a phase.
func (b *bench) cancelledIn(phase string) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	end := b.m.Subscribe(func(ev snapshot.Event) {
		if ev.Type == snapshot.EventProgress && string(ev.Phase) == phase {
			cancel()
		}
	})
	return ctx, func() { end(); cancel() }
}

// Lost: the only real answer to "can it be restored, and how long does that take?".
func TestDrill(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			e := b.manual()
			before, live := b.archives(), testdb.FileHash(t, b.m.Database())
			synced := false
			stop := durable.Observe(&durable.Observer{Synced: func(s durable.Step, path string) {
				if s == durable.StepSync && strings.HasPrefix(path, filepath.Join(b.m.Dir(), durable.TempPrefix+"drill")) {
					synced = true
				}
			}})
			out, err := b.m.Drill(t.Context(), "latest")
			stop()
			if !synced {
				t.Error("the image was not synced: a restore takes longer than the drill says")
			}
			if err != nil || out.ID != e.ID || out.Verdict != "healthy" || out.DurationMS < 1 || out.At.IsZero() {
				t.Fatalf("%+v %v", out, err)
			}
			b.noDebris()
			if b.archives() != before || testdb.FileHash(t, b.m.Database()) != live {
				t.Error("a drill touched the archives, or the database")
			}
			b.reopen()
			state, err := b.m.State()
			if err != nil || state.LastDrill == nil || *state.LastDrill != out {
				t.Errorf("remembered %+v, %v", state.LastDrill, err)
			}
			found, err := b.m.Find(e.ID)
			if err != nil || found.Verification.State != catalog.Verified || found.Verification.Level != integrity.LevelFull.String() {
				t.Errorf("proof %+v, %v", found.Verification, err)
			}
			if n := len(b.rec.of(snapshot.EventDrilled)); n != 1 {
				t.Errorf("%d drilled events", n)
			}
		})
	}
}

// Lost: the warning that the backup could not have been restored.
func TestDrillOfDamagedBackup(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	made := b.several(2)
	b.damageArchive(made[1])
	out, err := b.m.Drill(t.Context(), made[1].ID)
	if !errors.Is(err, snapshot.ErrCorrupt) || out.ID != made[1].ID || out.Verdict != "corrupt" {
		t.Errorf("%+v %v", out, err)
	}
	b.noDebris()
	if e, err := b.m.Find(made[1].ID); err != nil || e.Verification.State != catalog.Failed || e.Verification.Level != "full" {
		t.Errorf("%+v %v", e.Verification, err)
	}
	if latest, err := b.m.Find("latest"); err != nil || latest.ID != made[0].ID {
		t.Errorf("latest is %s, %v", latest.ID, err)
	}
	if state, err := b.m.State(); err != nil || state.LastDrill == nil || state.LastDrill.Verdict != "corrupt" {
		t.Errorf("%+v %v", state.LastDrill, err)
	}
	if err := os.Remove(b.m.ArchivePath(made[0])); err != nil {
		t.Fatal(err)
	}
	if out, err := b.m.Drill(t.Context(), made[0].ID); !errors.Is(err, snapshot.ErrNotFound) || out.ID != "" {
		t.Errorf("the archive is gone: %+v %v", out, err)
	}
}

// Lost: the disk, to drills that were cut short.
func TestDrillThatIsCutShort(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	for _, phase := range []string{"unpack", "check"} {
		ctx, stop := b.cancelledIn(phase)
		out, err := b.m.Drill(ctx, e.ID)
		stop()
		if !errors.Is(err, context.Canceled) || out.ID != "" {
			t.Errorf("cancelled at %s: %+v %v", phase, out, err)
		}
		b.noDebris()
		if found, err := b.m.Find(e.ID); err != nil || found.Verification.State != catalog.Verified || found.Verification.Level != "quick" {
			t.Errorf("cancelled at %s: %+v %v", phase, found.Verification, err)
		}
	}
	left := filepath.Join(b.m.Dir(), ".snapd-tmp-drill-0123456789abcdef")
	writeFile(t, left, []byte("of a process that died"))
	if _, err := b.m.Drill(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("a leftover was not swept")
	}
}
