package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// undo restores what the last restore replaced.
func (b *bench) undo() snapshot.RestoreResult {
	b.t.Helper()
	replaced, err := b.m.Replaced()
	if err != nil {
		b.t.Fatalf("replaced: %v", err)
	}
	done, err := b.m.Restore(b.t.Context(), replaced.ID, snapshot.RestoreOptions{})
	if err != nil {
		b.t.Fatalf("restore: %v", err)
	}
	return done
}

// Lost: the work of a day, after a restore of the wrong backup.
func TestUndoPutsBackWhatARestoreReplaced(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]snapshot.RestoreOptions{"online": {}, "swap": {Offline: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "wal")
			if _, err := b.m.Replaced(); !errors.Is(err, snapshot.ErrNotFound) {
				t.Errorf("before any restore: %v", err)
			}
			b.mark("yesterday")
			old := b.manual()
			b.mark("today")
			if _, err := b.m.Restore(t.Context(), old.ID, o); err != nil {
				t.Fatal(err)
			}
			b.reopen() // another process undoes it
			b.mark("done since the restore")
			b.undo()
			if got := b.marked(); got != "today" {
				t.Errorf("undone: mark %q", got)
			}
			// An undo is a restore, which can be undone.
			b.undo()
			if got := b.marked(); got != "done since the restore" {
				t.Errorf("undone again: mark %q", got)
			}
		})
	}
}

// Lost: the damaged file, or the way to it, where an undo would put something else in the
// database's place than what the last recovery replaced.
func TestUndoOfWhatWasDamagedNamesTheKeptFile(t *testing.T) {
	t.Parallel()
	recovered := func(b *bench) string {
		rec, err := b.m.Recover(b.t.Context())
		if err != nil || rec.Quarantined == nil {
			b.t.Fatalf("recover: %+v %v", rec, err)
		}
		return *rec.Quarantined
	}
	for name, replace := range map[string]func(b *bench, old snapshot.Backup) (kept string){
		"recovered from a backup": func(b *bench, _ snapshot.Backup) string {
			b.damage()
			return recovered(b)
		},
		"repaired": func(b *bench, _ snapshot.Backup) string {
			testdb.OverwriteHeader(b.t, b.m.Database(), make([]byte, 16))
			return recovered(b)
		},
		"restored over": func(b *bench, old snapshot.Backup) string {
			b.damage()
			done, err := b.m.Restore(b.t.Context(), old.ID, snapshot.RestoreOptions{})
			if err != nil || done.Quarantined == "" {
				b.t.Fatalf("restore: %+v %v", done, err)
			}
			return done.Quarantined
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete")
			old := b.manual()
			b.mark("newer")
			if _, err := b.m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{}); err != nil { // which is not the last
				t.Fatal(err)
			}
			kept := replace(b, old)
			b.reopen()
			_, err := b.m.Replaced()
			if !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(err.Error(), kept) || !strings.Contains(snapshot.Hint(err), "salvage") {
				t.Errorf("want a refusal that names %s and salvage, got %v (%s)", kept, err, snapshot.Hint(err))
			}
			if size(t, kept) == 0 {
				t.Error("nothing was kept")
			}
			// What was restored after that can be undone.
			b.mark("after the recovery")
			if _, err := b.m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{}); err != nil {
				t.Fatal(err)
			}
			b.undo()
			if got := b.marked(); got != "after the recovery" {
				t.Errorf("mark %q", got)
			}
		})
	}
}

func TestUndoWithoutAnythingToPutBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	old := b.manual()
	testdb.Damaged(t, b.m.Database())
	for _, name := range []string{b.m.Database(), b.m.Database() + "-wal", b.m.Database() + "-shm"} {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	b.recovers(old.ID)
	if _, err := b.m.Replaced(); !errors.Is(err, snapshot.ErrNotFound) || !strings.Contains(err.Error(), "no database before") {
		t.Errorf("after the recovery of a missing database: %v", err)
	}
	b.mark("newer")
	done, err := b.m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.m.Delete(t.Context(), []string{*done.SafetyBackup}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := b.m.Replaced(); !errors.Is(err, snapshot.ErrNotFound) || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("without its safety backup: %v", err)
	}
}

// Lost: the knowledge that something was lost, when a recovery at three in the morning says it
// to a log that no one reads.
func TestWhatARecoveryLostIsReportedUntilAcknowledged(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	good := b.manual()
	b.mark("newer than the backup")
	if s := b.status(); len(s.Recovered) != 0 {
		t.Errorf("before: %+v", s.Recovered)
	}
	b.damage()
	b.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	b.damage()
	rec := b.recovers(good.ID)
	b.reopen()
	b.manual() // what is done since does not hide it
	s := b.status()
	if len(s.Recovered) != 1 {
		t.Fatalf("after: %+v", s.Recovered)
	}
	r := s.Recovered[0]
	if r.Action != snapshot.ActionRestored || *r.Backup != good.ID || !r.LosesSince.Equal(good.CreatedAt) || *r.Kept != *rec.Quarantined || r.At.IsZero() {
		t.Errorf("%+v", r)
	}
	if r.Unrestored == nil || rec.Unrestored == nil || *r.Unrestored != *rec.Unrestored || !strings.Contains(r.Loses, "all changes since") {
		t.Errorf("%+v, the recovery said %v", r, rec.Unrestored)
	}
	// A second one does not hide the first, and one that lost nothing is not reported.
	testdb.OverwriteHeader(t, b.m.Database(), make([]byte, 16))
	if rec, err := b.m.Recover(t.Context()); err != nil || rec.Action != snapshot.ActionRepaired {
		t.Fatalf("recover: %+v %v", rec, err)
	}
	if s := b.status(); len(s.Recovered) != 1 || *s.Recovered[0].Kept != *rec.Quarantined {
		t.Errorf("after a repair: %+v", s.Recovered)
	}
	if err := os.Remove(b.m.Database()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.m.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := b.status(); len(s.Recovered) != 2 || s.Recovered[0].Kept != nil || *s.Recovered[1].Kept != *rec.Quarantined {
		t.Errorf("after a second loss: %+v", s.Recovered)
	}
	for _, want := range []int{2, 0} {
		known, err := b.m.AcknowledgeRecovery(snapshot.WithCaller(t.Context(), snapshot.Caller{Who: "alice"}))
		if err != nil || len(known) != want {
			t.Fatalf("%+v %v, want %d", known, err, want)
		}
	}
	b.reopen()
	if s := b.status(); len(s.Recovered) != 0 {
		t.Errorf("acknowledged: %+v", s.Recovered)
	}
	page, _, err := b.m.Activity("", 100)
	if err != nil || page[0].Action != "acknowledge" || page[0].Who != "alice" || page[2].Action == "acknowledge" {
		t.Errorf("activity %+v %v", page[:3], err)
	}
	if _, err := os.Stat(filepath.Join(b.m.Dir(), filepath.Base(*rec.Quarantined))); err != nil {
		t.Errorf("the kept file: %v", err)
	}
}
