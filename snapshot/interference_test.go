package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// straggler has a program open the database and write to it in the middle of a
// swap, and returns it, waiting for the lock.
func straggler(t *testing.T, db string, run func()) *peer {
	t.Helper()
	var late *peer
	snapshot.SetCrashPoint(func(name string) {
		if name != "preserved" || late != nil {
			return
		}
		late = startPython(t, db, "20")
		late.send("INSERT INTO log VALUES(77, 'late')")
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
			usage, err := livedb.UsageOf(db)
			if err != nil || usage.Unknown != "" {
				t.Errorf("users: %+v %v", usage, err)
				return
			}
			if usage.InUse() {
				return
			}
		}
		t.Error("the straggler never opened the database")
	})
	defer snapshot.SetCrashPoint(nil)
	run()
	if late == nil {
		t.Fatal("the swap never came to its middle")
	}
	return late
}

// Lost: the restored database, when a process that opened the old file a moment
// before the rename writes a log for it, under the new one's name; or the commit
// that was acknowledged to that process.
// It is not parallel: the crash point is met by the swaps of other tests, too.
func TestApplicationStartsInTheMiddleOfASwap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux reports which processes have a file open")
	}
	for _, mode := range journalModes {
		for _, damaged := range []bool{false, true} {
			name := mode + "/sound"
			if damaged {
				name = mode + "/damaged"
			}
			t.Run(name, func(t *testing.T) {
				m, db := newLive(t, mode, snapshot.Config{LockWait: 5 * time.Second})
				good := mustBackup(t, m)
				testdb.ShellQuery(t, db, "INSERT INTO log VALUES(1, 'after')")
				if damaged {
					testdb.ZeroPage(t, db, 2)
				}
				late := straggler(t, db, func() {
					if !damaged {
						must(t, last(m.Restore(t.Context(), good.ID, snapshot.RestoreOptions{Offline: true})))
						return
					}
					rec, err := m.Recover(t.Context())
					if err != nil || rec.Action != snapshot.ActionRestored {
						t.Errorf("%+v, %v", rec, err)
					}
				})
				answer := late.hear()
				rows := testdb.ShellQuery(t, db, "SELECT count(*) FROM log WHERE id=77")
				if answer == "" && rows != "1" {
					t.Errorf("an acknowledged commit is gone: %s rows", rows)
				}
				if again := late.ask("SELECT count(*) FROM log"); answer != "" && again == "1" {
					t.Errorf("the straggler goes on with the replaced file: %q, then %q", answer, again)
				}
				late.end()
				testdb.ShellIntegrity(t, db)
				noDebris(t, db, "after the swap")
			})
		}
	}
}

// Lost: every backup, when the program counts on archives that were
// removed while it ran, or prunes the one that is left.
func TestArchivesRemovedWhileRunning(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	var made []snapshot.Backup
	for range 4 {
		b.mark(time.Now().String())
		made = append(made, b.auto())
	}
	for _, e := range made[1:] {
		if err := os.Remove(b.m.ArchivePath(e)); err != nil {
			t.Fatal(err)
		}
	}
	if st := b.status(); st.State == snapshot.Protected {
		t.Errorf("protected by an archive that is gone: %+v", st)
	}
	decisions, err := b.m.Prune(t.Context(), &snapshot.Policy{Last: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.m.ArchivePath(made[0])); err != nil {
		t.Fatalf("the only archive was pruned: %v, %+v", err, decisions)
	}
	if e := b.auto(); e.Seq == made[3].Seq { // within a second the name may come again
		t.Error("a backup that is gone is said to cover the database")
	}
	if st := b.status(); st.State != snapshot.Protected {
		t.Errorf("%+v", st)
	}
}

// Lost: the alarm, for as long as a wrong clock was ahead.
func TestStatusDoubtsTheFuture(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	e := b.auto()
	c, err := catalogfile.Open(b.m.Dir(), "data")
	if err != nil {
		t.Fatal(err)
	}
	err = c.Update(t.Context(), func(tx *catalogfile.Tx) error {
		e, err := tx.Get(e.ID)
		if err != nil {
			return err
		}
		e.CreatedAt = e.CreatedAt.AddDate(5, 0, 0)
		return tx.Put(e)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.mark("changed")
	if st := b.status(); st.State != snapshot.AtRisk {
		t.Errorf("%+v", st)
	}
}

// Lost: the state that was chosen, when recovery goes back to the one that a
// restore had given up.
func TestRecoveryGoesByWhatWasRestored(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		b := newBench(t, "wal")
		b.mark("chosen")
		chosen := b.manual()
		b.mark("given up")
		b.auto()
		if _, err := b.m.Restore(t.Context(), chosen.ID, snapshot.RestoreOptions{Offline: offline}); err != nil {
			t.Fatal(err)
		}
		// A copy of an archive is no backup that was taken since.
		raw := readFile(t, b.m.ArchivePath(chosen))
		writeFile(t, filepath.Join(b.m.Dir(), "data_backup_MANUAL_20200101_000000.db.zst"), raw)
		b.reopen()
		b.damage()
		b.recovers(chosen.ID)
		if got := b.marked(); got != "chosen" {
			t.Errorf("offline %v: recovered %q", offline, got)
		}
	}
}

// Lost: the rights of a file elsewhere, when a sidecar is a link to it.
func TestSidecarThatIsALink(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.manual()
	victim := filepath.Join(t.TempDir(), "victim")
	writeFile(t, victim, []byte("precious"))
	if err := os.Chmod(victim, 0o644); err != nil {
		t.Fatal(err)
	}
	b.damage()
	if err := os.Symlink(victim, b.m.Database()+"-wal"); err != nil {
		t.Fatal(err)
	}
	_, err := b.m.Recover(t.Context())
	if st, e := os.Stat(victim); e != nil || st.Mode().Perm() != 0o644 || string(readFile(t, victim)) != "precious" {
		t.Errorf("the victim was touched: %v %v", st.Mode(), e)
	}
	if err == nil || snapshot.Hint(err) == "" && !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("recover with a link: %v", err)
	}
}

// Lost: the knowledge of damage, when a look that cannot see it says healthy.
func TestShallowCheckTakesNothingBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.auto()
	b.damage()
	if r, err := b.m.Check(t.Context(), integrity.LevelQuick); err != nil || !r.Damaged() {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := b.m.Check(t.Context(), integrity.LevelHeader); err != nil || r.Damaged() {
		t.Fatalf("the header shows it too: %+v, %v", r, err)
	}
	if st := b.status(); st.State != snapshot.AtRisk {
		t.Errorf("%+v", st)
	}
}
