package snapshot_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// newLargeBench is newBench with a database of several frames.
func newLargeBench(t *testing.T, mode string) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	testdb.MakeCRM(t, path, samplecrm.Options{Seed: 1, JournalMode: mode, Bytes: 4 << 20})
	testdb.CheckAtEnd(t, path)
	return benchOn(t, path)
}

// frames returns the stored frames of e.
func (b *bench) frames(e snapshot.Backup) (n int) {
	b.t.Helper()
	r, err := archive.Open(b.m.ArchivePath(e))
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	return r.Info().Frames
}

// Lost: a backup that needs another one, or is not the database.
func TestBackupOfWhatChanged(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newLargeBench(t, mode)
			first := b.manual()
			b.exec("UPDATE contacts SET phone = '0' WHERE id = 5")
			second := b.auto()
			if first.Base != "" || second.Base != first.ID || second.Verification.State != catalog.Verified {
				t.Errorf("bases %q and %q, %+v", first.Base, second.Base, second.Verification)
			}
			done := b.rec.wait(t, "the second backup", func(ev snapshot.Event) bool { return ev.Type == snapshot.EventBackedUp && ev.Backup == second.ID })
			if !strings.Contains(done.Reason, " frames are unchanged since "+first.ID) {
				t.Errorf("reason %q", done.Reason)
			}
			if err := b.m.Delete(t.Context(), []string{first.ID}, true); err != nil {
				t.Fatal(err)
			}
			if mode == "wal" {
				b.exec("PRAGMA wal_checkpoint(TRUNCATE)")
			}
			image := stockImage(t, b.m.ArchivePath(second))
			if !bytes.Equal(image, readFile(t, b.m.Database())) || imageHash(image) != second.ImageBLAKE3 {
				t.Error("zstd -d does not give the database")
			}
			if _, err := b.m.Drill(t.Context(), second.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// Lost: what a restore replaces. Its backup is made of the frames of the one before, too.
func TestSafetyBackupOfWhatChanged(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		b := newLargeBench(t, "wal")
		b.mark("first")
		first := b.manual()
		b.mark("second")
		second := b.manual()
		b.mark("third")
		done, err := b.m.Restore(t.Context(), first.ID, snapshot.RestoreOptions{Offline: offline})
		if err != nil {
			t.Fatal(err)
		}
		safety, err := b.m.Find(*done.SafetyBackup)
		if err != nil || safety.Base != second.ID {
			t.Errorf("offline %v: the safety backup is made from %q, %v", offline, safety.Base, err)
		}
		if a, b := b.markIn(safety.ID), b.marked(); a != "third" || b != "first" {
			t.Errorf("offline %v: %q is saved and %q restored", offline, a, b)
		}
	}
}

// If this fails, one backup that rots spoils those after it, which count as verified.
func TestRottenBackupIsNoBase(t *testing.T) {
	t.Parallel()
	for name, rot := range map[string]func(*bench, snapshot.Backup){
		"its last frame": func(b *bench, e snapshot.Backup) {
			digests := 16*e.PageCount + 16*int64(b.frames(e)) // and some headers
			testdb.FlipByte(b.t, b.m.ArchivePath(e), e.ArchiveBytes-digests-4000)
		},
		"its metadata": func(b *bench, e snapshot.Backup) { testdb.FlipByte(b.t, b.m.ArchivePath(e), -200) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newLargeBench(t, "wal")
			good := b.manual()
			b.mark("second")
			rotten := b.manual()
			b.mark("third")
			rot(b, rotten)
			made := b.auto()
			warned := b.rec.wait(t, "a warning", func(ev snapshot.Event) bool { return ev.Type == snapshot.EventWarning })
			if warned.Backup != rotten.ID || !errors.Is(warned.Err, archive.ErrDamaged) {
				t.Errorf("warned of %s: %v", warned.Backup, warned.Err)
			}
			if e, err := b.m.Find(rotten.ID); err != nil || e.Verification.State != catalog.Failed {
				t.Errorf("the rotten one: %+v, %v", e.Verification, err)
			}
			for _, e := range []snapshot.Backup{good, made} {
				if _, err := b.m.Drill(t.Context(), e.ID); err != nil {
					t.Errorf("%s: %v", e.ID, err)
				}
			}
			if got := b.markIn(made.ID); got != "third" {
				t.Errorf("the backup has %q", got)
			}
			b.mark("fourth")
			if next := b.auto(); next.Base != made.ID {
				t.Errorf("the next one is made from %q", next.Base)
			}
		})
	}
}

// A backup of a database that provably has not changed is a copy of the one before. Lost: that it is the database, that it stands alone, or its proof.
func TestBackupOfWhatDidNotChange(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			later(t, func(t *testing.T) {
				b := newBench(t, mode)
				b.mark("first")
				first := b.manual()
				b.mark("second")
				second := b.manual()
				checked := b.watchChecks()
				again := b.backup(snapshot.Manual("a copy"))
				if again.Base != second.ID || again.Note != "a copy" || again.ImageBLAKE3 != second.ImageBLAKE3 || again.Verification.State != catalog.Verified || again.Verification.Level != "quick" {
					t.Errorf("%+v", again)
				}
				must(t, b.m.Delete(t.Context(), []string{second.ID}, true))
				if got := b.markIn(again.ID); got != "second" || imageHash(stockImage(t, b.m.ArchivePath(again))) != again.ImageBLAKE3 {
					t.Errorf("the copy has %q", got)
				}
				if checked() {
					t.Error("the database was read and checked again")
				}
				done, err := b.m.Restore(t.Context(), first.ID, snapshot.RestoreOptions{})
				must(t, err)
				safety, err := b.m.Find(*done.SafetyBackup)
				must(t, err)
				if safety.Base != again.ID || safety.Trigger != catalog.TriggerPreRestore || !safety.Pinned || b.markIn(safety.ID) != "second" || b.marked() != "first" {
					t.Errorf("%+v", safety)
				}
				checked()
				b.mark("third")
				third := b.manual()
				if !checked() {
					t.Error("what changed was not checked")
				}
				if _, err := b.m.Drill(t.Context(), third.ID); err != nil || b.markIn(third.ID) != "third" {
					t.Errorf("%+v, %v", third, err)
				}
			})
		})
	}
}

// watchChecks returns a function that reports whether a backup checked the database since it was last called.
func (b *bench) watchChecks() (checked func() bool) {
	var seen atomic.Bool
	b.t.Cleanup(b.m.Subscribe(func(ev snapshot.Event) {
		if ev.Phase == snapshot.PhaseCheck && ev.Operation == snapshot.OpBackup {
			seen.Store(true)
		}
	}))
	return func() bool { return seen.Swap(false) }
}

// If this fails, a stored backup that rots makes a copy that counts as verified, or costs the backup.
func TestRottenBackupIsNotCopied(t *testing.T) {
	t.Parallel()
	later(t, func(t *testing.T) {
		b := newBench(t, "wal")
		b.mark("kept")
		first := b.manual()
		b.damageArchive(first)
		checked := b.watchChecks()
		again := b.manual()
		if again.Base != "" || !checked() || b.markIn(again.ID) != "kept" {
			t.Errorf("%+v", again)
		}
		if _, err := b.m.Drill(t.Context(), again.ID); err != nil {
			t.Error(err)
		}
		if e, err := b.m.Find(first.ID); err != nil || e.Verification.State != catalog.Failed {
			t.Errorf("%+v, %v", e.Verification, err)
		}
		b.noDebris()
	})
}

// A restore replaces what the disk has, also where that is not what was committed. Lost: the good pages of the
// backup, to rotten ones that are taken for equal since no time stamp shows them.
func TestRestoreReplacesRot(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode)
			b.exec("CREATE TABLE kept(x); INSERT INTO kept VALUES('sound' || hex(zeroblob(1500)))")
			b.mark("older")
			older := b.manual()
			b.mark("newest")
			newest := b.manual()
			b.rots(newest.ID, func() {
				at := bytes.Index(readFile(t, b.m.Database()), []byte("sound0000"))
				testdb.Overwrite(t, b.m.Database(), int64(at), []byte("wrong"))
			})
			done, err := b.m.Restore(t.Context(), older.ID, snapshot.RestoreOptions{})
			must(t, err)
			rotten := bytes.Contains(readFile(t, b.m.Database()), []byte("wrong0000"))
			if rotten || b.marked() != "older" || done.Method != snapshot.Online {
				t.Errorf("rotten %v after %s, mark %q", rotten, done.Method, b.marked())
			}
		})
	}
}

// Lost: a commit that no time stamp shows, to a copy that counts as verified.
func TestCopyHasEveryCommitOfTheLog(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	db, err := samplecrm.Open(b.m.Database(), "")
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	commit := func(name string) {
		_, err := db.Exec("UPDATE accounts SET name = ? WHERE id = 1", name)
		must(t, err)
	}
	commit("first")
	first := b.manual()
	b.rots(first.ID, func() { commit("second") })
	if again := b.manual(); b.markIn(again.ID) != "second" {
		t.Errorf("the backup has %q", b.markIn(again.ID))
	}
}
