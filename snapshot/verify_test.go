package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the knowledge that a stored backup is still good.
func TestVerifyGoodBackup(t *testing.T) {
	t.Parallel()
	for _, level := range []integrity.Level{integrity.LevelQuick, integrity.LevelFull} {
		later(t, func(t *testing.T) {
			b := newBench(t, "wal")
			e := b.manual()
			sleepHours(5)
			before := b.archives()
			v, err := b.m.Verify(t.Context(), "latest", level)
			if err != nil || v.ID != e.ID || v.Verification.State != catalog.Verified || v.Verification.Level != level.String() {
				t.Errorf("verify at %s: %+v %v", level, v, err)
			}
			if v.Verification.At == nil || v.Verification.At.Sub(*e.Verification.At) < minutes(299) {
				t.Errorf("proven at %v, made at %v", v.Verification.At, e.Verification.At)
			}
			if b.archives() != before {
				t.Error("verifying changed the archives")
			}
			b.noDebris()
			wantBackupKeys(t, v)
			b.reopen()
			if found, err := b.m.Find(e.ID); err != nil || found.Verification.Level != level.String() {
				t.Errorf("not remembered: %+v %v", found.Verification, err)
			}
			if n := len(b.rec.of(snapshot.EventVerified)); n != 1 {
				t.Errorf("%d verified events", n)
			}
		})
	}
}

// Lost: the truth about a backup that rotted on the disk.
func TestVerifyDamagedBackup(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(b *bench, older, e snapshot.Backup){
		"a byte flipped":   func(b *bench, _, e snapshot.Backup) { b.damageArchive(e) },
		"the last byte":    func(b *bench, _, e snapshot.Backup) { testdb.FlipByte(b.t, b.m.ArchivePath(e), -1) },
		"metadata flipped": func(b *bench, _, e snapshot.Backup) { testdb.FlipByte(b.t, b.m.ArchivePath(e), -200) },
		"cut short":        func(b *bench, _, e snapshot.Backup) { testdb.CutAt(b.t, b.m.ArchivePath(e), -100) },
		"bytes appended":   func(b *bench, _, e snapshot.Backup) { testdb.Append(b.t, b.m.ArchivePath(e), []byte("x")) },
		"emptied":          func(b *bench, _, e snapshot.Backup) { testdb.CutAt(b.t, b.m.ArchivePath(e), 0) },
		"another backup's": func(b *bench, older, e snapshot.Backup) {
			writeFile(b.t, b.m.ArchivePath(e), readFile(b.t, b.m.ArchivePath(older)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "wal")
			made := b.several(2)
			older, e := made[0], made[1]
			good := readFile(t, b.m.ArchivePath(e))
			damage(b, older, e)
			got, err := b.m.Verify(t.Context(), e.ID, integrity.LevelQuick)
			if !errors.Is(err, snapshot.ErrCorrupt) || snapshot.Code(err) != "corrupt" {
				t.Errorf("verify: %v (code %s)", err, snapshot.Code(err))
			}
			if got.ID != e.ID || got.Verification.State != catalog.Failed || got.Verification.Detail == "" {
				t.Errorf("entry %+v", got)
			}
			if b.latest() != older.File {
				t.Errorf("latest still is %s", b.latest())
			}
			if s := b.status(); s.NewestVerified == nil || *s.NewestVerified != older.ID {
				t.Errorf("status %+v", s)
			}
			if len(b.rec.of(snapshot.EventFailed)) != 1 {
				t.Errorf("events %+v", b.rec.of(snapshot.EventFailed))
			}
			b.noDebris()

			writeFile(t, b.m.ArchivePath(e), good)
			if got, err = b.m.Verify(t.Context(), e.ID, integrity.LevelQuick); err != nil || got.Verification.State != catalog.Verified || b.latest() != e.File {
				t.Errorf("the same backup, whole again: %+v %v, latest %s", got.Verification, err, b.latest())
			}
		})
	}
}

// Lost: the difference between a sound archive and a sound database inside.
func TestVerifyLooksInside(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	good := b.manual()
	image := readFile(t, b.m.Database())
	clear(image[3*4096 : 4*4096])
	const id = "data_backup_MANUAL_20300101_000000"
	packArchive(t, filepath.Join(b.m.Dir(), id+".db.zst"), image, good.Seq+1)
	b.reopen()
	// What is less than quick proves no backup: it is never made do with.
	if e, err := b.m.Verify(t.Context(), id, integrity.LevelHeader); !errors.Is(err, snapshot.ErrCorrupt) || e.Verification.State != catalog.Failed {
		t.Errorf("a corrupt image, by its header: %+v %v", e.Verification, err)
	}
	var damaged *snapshot.CorruptError
	e, err := b.m.Verify(t.Context(), id, integrity.LevelQuick)
	if !errors.Is(err, snapshot.ErrCorrupt) || !errors.As(err, &damaged) || e.Verification.State != catalog.Failed {
		t.Errorf("a corrupt image: %+v %v", e, err)
	}
	if b.latest() != good.File {
		t.Errorf("latest is %s", b.latest())
	}
}

// Lost: a minute for every backup, if an image that passed the check is unpacked and
// checked again; or the check, of an image that is not known to have been checked.
func TestVerifyChecksWhatWasNotChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	verify := func(what string, id string, level integrity.Level, want ...string) {
		t.Helper()
		phases, _ := b.phasesOf(func() error { _, err := b.m.Verify(t.Context(), id, level); return err })
		if !slices.Equal(phases, want) {
			t.Errorf("%s: phases %v, want %v", what, phases, want)
		}
		if found, err := b.m.Find(id); err != nil || found.Verification.State != catalog.Verified {
			t.Errorf("%s: %+v %v", what, found.Verification, err)
		}
	}
	verify("checked as it was taken", e.ID, integrity.LevelQuick, "read back")
	verify("at a level not checked before", e.ID, integrity.LevelFull, "read back", "check")
	verify("checked in full meanwhile", e.ID, integrity.LevelQuick, "read back")
	if found, err := b.m.Find(e.ID); err != nil || found.Verification.Level != "full" {
		t.Errorf("what passed the full check is said to have passed %+v %v", found.Verification, err)
	}
	if _, err := b.m.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	verify("known from its own words only", e.ID, integrity.LevelQuick, "read back", "check")

	image, ours := imageOf(t, b.m.ArchivePath(e))
	const old, claims = "data_backup_MANUAL_20300101_000000", "data_backup_MANUAL_20300101_000001"
	packArchiveOf(t, filepath.Join(b.m.Dir(), old+archive.Ext), image, archive.Facts{Seq: e.Seq + 1, CheckLevel: "quick", SQLiteVersion: "3.40.1"})
	packArchiveOf(t, filepath.Join(b.m.Dir(), claims+archive.Ext), image, archive.Facts{Seq: e.Seq + 2, CheckLevel: "full", SQLiteVersion: ours.SQLiteVersion})
	b.reopen()
	for range 2 {
		verify("checked by another SQLite", old, integrity.LevelQuick, "read back", "check")
	}
	verify("checked in full as it says itself", claims, integrity.LevelQuick, "read back", "check")
	verify("seen to pass a lower level", claims, integrity.LevelFull, "read back", "check")
	if found, err := b.m.Find(claims); err != nil || found.Verification.Level != "full" {
		t.Errorf("what passed the full check is said to have passed %+v %v", found.Verification, err)
	}
}

// imageOf is what the archive at path holds.
func imageOf(t *testing.T, path string) ([]byte, archive.Info) {
	t.Helper()
	r, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	image := make([]byte, r.Info().ImageBytes)
	if _, err := r.ReadAt(image, 0); err != nil {
		t.Fatal(err)
	}
	return image, r.Info()
}

// Lost: a good backup, marked failed because it could not be read.
func TestVerifyThatCouldNotBeMade(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.manual()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.m.Verify(ctx, e.ID, integrity.LevelQuick); err == nil || snapshot.Code(err) != "cancelled" {
		t.Errorf("cancelled: %v (code %s)", err, snapshot.Code(err))
	}
	if found, err := b.m.Find(e.ID); err != nil || found.Verification.State != catalog.Verified {
		t.Errorf("marked failed: %+v %v", found.Verification, err)
	}
	if err := os.Remove(b.m.ArchivePath(e)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.m.Verify(t.Context(), e.ID, integrity.LevelQuick); !errors.Is(err, snapshot.ErrNotFound) || snapshot.Hint(err) == "" {
		t.Errorf("a file that has gone: %v (hint %q)", err, snapshot.Hint(err))
	}
}

// Lost: a sound backup, to one wrong read of it: recovery never tries it again.
func TestOneWrongReadProvesNoDamage(t *testing.T) {
	for name, do := range map[string]func(b *bench, id string) error{
		"verify, quick": func(b *bench, id string) error { return last(b.m.Verify(b.t.Context(), id, integrity.LevelQuick)) },
		"verify, full":  func(b *bench, id string) error { return last(b.m.Verify(b.t.Context(), id, integrity.LevelFull)) },
		"drill":         func(b *bench, id string) error { return last(b.m.Drill(b.t.Context(), id)) },
	} {
		for where, at := range map[string]int64{"data": 100, "index": -1} {
			t.Run(name+"/"+where, func(t *testing.T) {
				b := newBench(t, "wal")
				e := b.manual()
				good := readFile(t, b.m.ArchivePath(e))
				testdb.FlipByte(t, b.m.ArchivePath(e), at)
				reads := 0
				cancel := b.m.Subscribe(func(ev snapshot.Event) {
					if ev.Type == snapshot.EventProgress && ev.Done == 0 && ev.Phase != snapshot.PhaseCheck {
						if reads++; reads == 2 {
							writeFile(t, b.m.ArchivePath(e), good)
						}
					}
				})
				err := do(b, e.ID)
				cancel()
				if err == nil || errors.Is(err, snapshot.ErrCorrupt) || snapshot.Hint(err) == "" {
					t.Errorf("a backup that is sound at the second reading gives %v", err)
				}
				if found, err := b.m.Find(e.ID); err != nil || found.Verification.State != catalog.Verified {
					t.Errorf("it is marked %+v, %v", found.Verification, err)
				}
			})
		}
	}
}
