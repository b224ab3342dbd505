package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/repair"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// repairs fails the test unless Recover repairs the database.
func (b *bench) repairs() snapshot.Recovery {
	b.t.Helper()
	rec, err := b.m.Recover(b.t.Context())
	if err != nil {
		b.t.Fatalf("recover: %v", err)
	}
	if rec.Action != snapshot.ActionRepaired || rec.Restored != nil || rec.Repair == nil {
		b.t.Fatalf("recover did %+v, want a repair", rec)
	}
	b.sound()
	b.noDebris()
	return rec
}

func (b *bench) plan() snapshot.RecoveryPlan {
	b.t.Helper()
	before := b.appFiles()
	p, err := b.m.PlanRecovery(b.t.Context())
	if err != nil {
		b.t.Fatalf("plan: %v", err)
	}
	if after := b.appFiles(); after != before {
		b.t.Errorf("planning changed something:\n%s\nbefore:\n%s", after, before)
	}
	return p
}

// ways are the actions of the plan's options.
func ways(p snapshot.RecoveryPlan) string {
	var all []string
	for _, o := range p.Options {
		all = append(all, string(o.Action))
	}
	return strings.Join(all, ", ")
}

// Lost: everything since the last backup, for a damaged index that costs no row.
func TestRecoverRepairsIndexes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, backups := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/backups=%v", mode, backups), func(t *testing.T) {
				b := newBench(t, mode)
				if backups {
					b.auto()
				}
				b.mark("newer than any backup")
				loseIndexRoot(t, b.m.Database())
				broken := readFile(t, b.m.Database())
				p := b.plan()
				if p.Action != snapshot.ActionRepaired || p.Err != nil || !p.Options[0].Proven || *p.Options[0].LosesTransactions != 0 {
					t.Errorf("plan %+v", p)
				}
				if backups != (len(p.Options) == 2) {
					t.Errorf("options %+v", p.Options)
				}
				rec := b.repairs()
				if got := b.marked(); got != "newer than any backup" || len(rec.Repair.Indexes) != 1 {
					t.Errorf("mark %q, %+v", got, rec.Repair)
				}
				checkQuarantine(t, b, rec, broken)
				if seen := b.rec.of(snapshot.EventRepaired); len(seen) != 1 || !strings.Contains(seen[0].Message, "without losing a row") {
					t.Errorf("events %+v", seen)
				}
				if s := b.status(); *s.Database.Verdict != integrity.Healthy || s.Recovery != nil {
					t.Errorf("status %+v", s)
				}
				if p := b.plan(); p.Action != snapshot.ActionNone || len(p.Options) != 0 {
					t.Errorf("plan afterwards %+v", p)
				}
				wantKeys(t, rec, "action", "verdict", "reason", "restored", "quarantined", "repair")
			})
		}
	}
}

// A table is damaged as well: the backup, and nothing is said of a repair.
func TestRecoverRestoresWhatCannotBeRepaired(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	good := b.auto()
	b.mark("lost")
	loseIndexRoot(t, b.m.Database())
	b.damage()
	p := b.plan()
	if p.Action != snapshot.ActionRestored || ways(p) != "restored, salvage" || *p.Options[0].Backup != good.ID || !p.Options[0].LosesSince.Equal(good.CreatedAt) {
		t.Errorf("plan %+v", p)
	}
	if rec := b.recovers(good.ID); rec.Repair != nil {
		t.Errorf("%+v", rec)
	}
}

// Duplicate keys keep a UNIQUE index from being rebuilt: a warning says so, and
// a backup is used.
func TestRecoverFallsBackFromARepair(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.exec("CREATE TABLE u(k TEXT); CREATE UNIQUE INDEX uk ON u(k); INSERT INTO u VALUES('a'),('b')")
	good := b.auto()
	b.exec("PRAGMA writable_schema=1; CREATE TABLE keep AS SELECT * FROM sqlite_schema WHERE name='uk'; DELETE FROM sqlite_schema WHERE name='uk'")
	b.exec("INSERT INTO u VALUES('a')")
	b.exec("PRAGMA writable_schema=1; INSERT INTO sqlite_schema SELECT * FROM keep")
	testdb.Damaged(t, b.m.Database())
	if p := b.plan(); p.Action != snapshot.ActionRestored || !strings.Contains(p.Reason, "same key") {
		t.Errorf("plan %+v", p)
	}
	b.recovers(good.ID)
	warned := false
	for _, e := range b.rec.of(snapshot.EventWarning) {
		warned = warned || errors.Is(e.Err, repair.ErrNotRepairable)
	}
	if !warned {
		t.Error("no event says why there was no repair")
	}
}

// killedWithLog makes a database whose log holds commits that no checkpoint has copied,
// as a process that was killed leaves it; between is called between two of them.
func killedWithLog(t *testing.T, between func(b *bench)) *bench {
	t.Helper()
	live := filepath.Join(t.TempDir(), "live.db")
	makeDatabase(t, live, "wal")
	db, err := samplecrm.Open(live, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	run := func(q string) {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	run("PRAGMA wal_autocheckpoint=0")
	for i := range 6 {
		run(fmt.Sprintf("UPDATE accounts SET name='commit %d' WHERE id=1", i))
		run(fmt.Sprintf("INSERT INTO notes(contact_id, author, body, created_at) SELECT contact_id, 'commit %d', body, created_at FROM notes LIMIT 20", i))
	}
	path := filepath.Join(t.TempDir(), "data.db")
	half := size(t, live+"-wal")
	writeFile(t, path, readFile(t, live))
	writeFile(t, path+"-wal", readFile(t, live+"-wal"))
	testdb.Damaged(t, path)
	b := benchOn(t, path)
	if between != nil {
		between(b)
	}
	for i := range 6 {
		run(fmt.Sprintf("UPDATE accounts SET name='commit %d' WHERE id=1", 6+i))
	}
	log := readFile(t, live+"-wal")
	if int64(len(log)) <= half {
		t.Fatal("the log did not grow: this test shows nothing")
	}
	writeFile(t, path+"-wal", log)
	return b
}

// Damage in the log: what its checksums prove is kept, not half a day of it lost.
func TestRecoverKeepsTheProvenLog(t *testing.T) {
	t.Parallel()
	b := killedWithLog(t, nil)
	breakLog(t, b.m.Database())
	main, log := readFile(t, b.m.Database()), readFile(t, b.m.Database()+"-wal")
	p := b.plan()
	if p.Action != snapshot.ActionRepaired || ways(p) != "repaired, salvage" || *p.Options[0].LosesTransactions == 0 {
		t.Fatalf("plan %+v", p)
	}
	if s := b.status(); s.Recovery == nil || s.Recovery.Action != snapshot.ActionRepaired {
		t.Errorf("status %+v", s)
	}
	rec := b.repairs()
	if rec.Repair.Kept == 0 || rec.Repair.Dropped == 0 || rec.Repair.Kept+rec.Repair.Dropped > 18 {
		t.Errorf("%+v", rec.Repair)
	}
	if got := b.marked(); !strings.HasPrefix(got, "commit ") {
		t.Errorf("mark %q", got)
	}
	if !bytes.Equal(readFile(t, *rec.Quarantined), main) || !bytes.Equal(readFile(t, *rec.Quarantined+"-wal"), log) {
		t.Error("the quarantine is not what was damaged")
	}
}

// A backup was taken later than the place where the log is damaged: it loses less
// than what the log still proves.
func TestRecoverPrefersTheBackupThatHoldsMore(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{true, false} {
		t.Run(fmt.Sprint("backup after the damage ", late), func(t *testing.T) {
			var taken snapshot.Backup
			b := killedWithLog(t, func(b *bench) { taken = b.auto() })
			frame := testdb.PageSize(t, b.m.Database()) + 24
			at := int64(32 + 2*24) // in the first frames
			if !late {
				at = size(t, b.m.Database()+"-wal") - 3*frame
			}
			testdb.FlipByte(t, b.m.Database()+"-wal", at/frame*frame+32+600)
			p := b.plan()
			if !late {
				if p.Action != snapshot.ActionRepaired {
					t.Errorf("plan %+v", p)
				}
				b.repairs()
				if got := b.marked(); got < "commit 6" && len(got) == len("commit 6") {
					t.Errorf("mark %q is older than the backup", got)
				}
				return
			}
			if p.Action != snapshot.ActionRestored || ways(p) != "restored, repaired, salvage" || *p.Options[0].Backup != taken.ID {
				t.Errorf("plan %+v", p)
			}
			b.recovers(taken.ID)
			if got := b.marked(); got != "commit 5" {
				t.Errorf("mark %q", got)
			}
		})
	}
}

// A process has the damaged database open: nothing is touched, and the plan says why.
func TestRepairWaitsForUsers(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.auto()
	loseIndexRoot(t, b.m.Database())
	p := startPython(t, b.m.Database(), "5")
	if got := p.ask("SELECT count(*) FROM sqlite_schema"); got == "" {
		t.Fatal("the other process does not read")
	}
	if plan := b.plan(); plan.Action != snapshot.ActionWaiting || !errors.Is(plan.Err, snapshot.ErrBusy) || len(plan.Options) != 2 {
		t.Errorf("plan %+v", plan)
	}
	before := readFile(t, b.m.Database())
	if rec, err := b.m.Recover(t.Context()); !errors.Is(err, snapshot.ErrBusy) || rec.Action != snapshot.ActionWaiting {
		t.Errorf("recover %+v %v", rec, err)
	}
	if !bytes.Equal(readFile(t, b.m.Database()), before) {
		t.Error("the database was touched")
	}
	b.noDebris()
}

// Status knows from the last check what recovery would do, also of damage that its
// own probe does not see.
func TestStatusTellsWhatRecoveryWouldDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	good := b.auto()
	loseIndexRoot(t, b.m.Database())
	if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Fatal(err)
	}
	s := b.status()
	if s.Recovery == nil || s.Recovery.Action != snapshot.ActionRepaired || len(s.Recovery.Options) != 2 || *s.Recovery.Options[1].Backup != good.ID {
		t.Fatalf("status %+v", s.Recovery)
	}
	wantKeys(t, s.Recovery, "action", "verdict", "reason", "options")
	wantKeys(t, s.Recovery.Options[1], "action", "backup", "remote", "loses", "loses_since", "loses_transactions", "rows_lost", "room", "proven", "chosen")
}

// A log whose database is gone holds commits; SQLite deletes it with the first
// opening. Lost otherwise: what it held, where there is no backup either.
func TestOrphanLogIsKeptWithoutBackups(t *testing.T) {
	t.Parallel()
	b := killedWithLog(t, nil)
	log := readFile(t, b.m.Database()+"-wal")
	if err := os.Remove(b.m.Database()); err != nil {
		t.Fatal(err)
	}
	if p := b.plan(); p.Action != snapshot.ActionNone || p.Verdict != integrity.Missing {
		t.Errorf("plan %+v", p)
	}
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Action != snapshot.ActionNone || rec.Quarantined == nil {
		t.Fatalf("recover %+v %v", rec, err)
	}
	if !bytes.Equal(readFile(t, *rec.Quarantined), log) || !bytes.Equal(readFile(t, b.m.Database()+"-wal"), log) {
		t.Error("the log was not kept")
	}
}

// The backup that holds more than the damaged log proves is damaged itself. Lost
// otherwise: what the log still proves, to an older backup.
func TestRecoverRepairsWhereTheBackupThatHoldsMoreIsDamaged(t *testing.T) {
	t.Parallel()
	var taken snapshot.Backup
	b := killedWithLog(t, func(b *bench) {
		log := readFile(t, b.m.Database()+"-wal")
		writeFile(t, b.m.Database()+"-wal", nil)
		testdb.Damaged(t, b.m.Database())
		b.auto()
		writeFile(t, b.m.Database()+"-wal", log)
		testdb.Damaged(t, b.m.Database())
		taken = b.auto()
	})
	b.damageArchive(taken)
	frame := testdb.PageSize(t, b.m.Database()) + 24
	testdb.FlipByte(t, b.m.Database()+"-wal", 32+5*frame+600)
	testdb.Damaged(t, b.m.Database())
	rec := b.repairs()
	if got := b.marked(); !strings.HasPrefix(got, "commit ") || rec.Repair.Dropped == 0 {
		t.Errorf("mark %q, %+v", got, rec.Repair)
	}
}

// The end of the log is gone, which looks like a crash, and an index is damaged: the
// backup has transactions that the rest of the log has not. Lost otherwise: those, to a
// repair that says that it loses nothing.
func TestRecoverPrefersTheBackupOfALogCutOff(t *testing.T) {
	t.Parallel()
	var taken snapshot.Backup
	b := killedWithLog(t, func(b *bench) { taken = b.auto() })
	frame := testdb.PageSize(t, b.m.Database()) + 24
	log := readFile(t, b.m.Database()+"-wal")
	writeFile(t, b.m.Database()+"-wal", nil) // so that the shell leaves the log alone
	loseIndexRoot(t, b.m.Database())
	writeFile(t, b.m.Database()+"-wal", log[:32+3*frame])
	p := b.plan()
	if p.Action != snapshot.ActionRestored || ways(p) != "restored, repaired, salvage" || *p.Options[0].Backup != taken.ID {
		t.Errorf("plan %+v", p)
	}
	b.recovers(taken.ID)
	if got := b.marked(); got != "commit 5" {
		t.Errorf("mark %q", got)
	}
}

// A program writes between the check and the swap: that is a database in use, as one that
// is held open is. Lost otherwise: the difference between "stop that process" and a
// failure without a cause.
func TestRecoverWaitsForAWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	makeDatabase(t, path, "delete")
	b := benchOn(t, path, func(c *snapshot.Config) {
		note := c.OnEvent
		c.OnEvent = func(e snapshot.Event) {
			note(e)
			if e.Type == snapshot.EventFailed && e.Operation == "check" {
				execOn(t, path, "UPDATE accounts SET name='meanwhile' WHERE id=1")
			}
		}
	})
	loseIndexRoot(t, path)
	rec, err := b.m.Recover(t.Context())
	if !errors.Is(err, snapshot.ErrBusy) || rec.Action != snapshot.ActionWaiting {
		t.Errorf("recover %+v %v", rec, err)
	}
	b.noDebris()
	if got := b.marked(); got != "meanwhile" {
		t.Errorf("mark %q", got)
	}
}
