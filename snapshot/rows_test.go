package snapshot_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

const (
	fillLog  = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO log SELECT i, 'row '||i FROM n`
	loseLog  = `DELETE FROM log WHERE id BETWEEN 101 AND 200; UPDATE log SET filler='since' WHERE id=7`
	wholeLog = "1-500"
	lostLog  = "1-100,201-500"
)

var missingLog = snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Table: "log", Missing: true}}

var undoRows = snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Undo: true}}

func init() {
	operations["undo rows"] = func(ctx context.Context, m *snapshot.Manager) error {
		b, err := m.Replaced()
		if err == nil {
			_, err = m.RestoreRows(ctx, b.ID, undoRows)
		}
		return err
	}
	operations["restore rows"] = func(ctx context.Context, m *snapshot.Manager) error {
		id, err := restoreID(m)
		if err == nil {
			_, err = m.RestoreRows(ctx, id, missingLog)
		}
		return err
	}
}

// Lost otherwise: commits that the application makes while rows are brought back, or the rows.
func TestRowsComeBackNextToAWriter(t *testing.T) {
	t.Parallel()
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			m, db := newLive(t, mode, snapshot.Config{})
			testdb.ShellQuery(t, db, fillLog)
			b := mustBackup(t, m)
			writer := testdb.StartPythonWriter(t, db)
			began, _ := testdb.Ledger(t, db)
			for range 3 {
				testdb.ShellQuery(t, db, loseLog)
				done, err := m.RestoreRows(t.Context(), b.ID, missingLog)
				if err != nil || !done.Applied || done.Inserted != 100 || done.SafetyBackup == nil {
					t.Fatalf("%+v, %v", done, err)
				}
				if got := logged(t, db); got != wholeLog {
					t.Errorf("the log has %s", got)
				}
				safety := image(t, m, *done.SafetyBackup)
				if got := logged(t, safety); got != lostLog {
					t.Errorf("the safety backup has %s", got)
				}
				testdb.Ledger(t, safety)
				undone, err := m.RestoreRows(t.Context(), *done.SafetyBackup, undoRows)
				if got := logged(t, db); err != nil || undone.Removed != 100 || got != lostLog {
					t.Fatalf("undo: %+v, %v; the log has %s", undone, err, got)
				}
			}
			result := writer.Stop()
			if len(result.Errors) > 0 {
				t.Errorf("the writer met %q", result.Errors)
			}
			ended, _ := testdb.Ledger(t, db)
			if ended-began > result.Commits || ended < result.Commits {
				t.Errorf("%d transfers at first and %d in the end, of %d commits", began, ended, result.Commits)
			}
			if got := testdb.ShellQuery(t, db, "SELECT filler FROM log WHERE id=7"); got != "since" {
				t.Errorf("a row that was not gone became %q", got)
			}
		})
	}
}

// Lost otherwise: half of the rows, or the record of what was done.
func TestRowsComeBackWhollyOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, mode := range append(journalModes, "undo") {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			operation, before, after := "restore rows", lostLog, wholeLog
			if mode == "undo" {
				operation, before, after, mode = "undo rows", wholeLog, lostLog, "wal"
			}
			m, db := newLive(t, mode, snapshot.Config{})
			testdb.ShellQuery(t, db, fillLog)
			if _, err := m.Backup(t.Context(), snapshot.Manual(manualNote)); err != nil {
				t.Fatal(err)
			}
			testdb.ShellQuery(t, db, loseLog)
			if before == wholeLog {
				must(t, operations["restore rows"](t.Context(), m))
			}
			olds, news := 0, 0
			for n := 1; ; n++ {
				work := filepath.Join(t.TempDir(), "work") // which this process has never opened
				command(t, "cp", "-a", filepath.Dir(db), work)
				crashed := filepath.Join(work, "data.db")
				point := crashAt(t, operation, crashed, n)
				c := openManager(t, crashed)
				got := logged(t, crashed)
				testdb.ShellIntegrity(t, crashed)
				if _, err := c.Backup(t.Context(), snapshot.Manual("the next operation")); err != nil {
					t.Fatal(err)
				}
				ops, err := c.Operations([]snapshot.Operation{snapshot.OpRestoreRows}, 9)
				if err != nil || len(ops) == 0 {
					t.Fatalf("killed at %q: %+v, %v", point, ops, err)
				}
				want := "failed"
				switch got {
				case after:
					news, want = news+1, "done"
				case before:
					olds++
				default:
					t.Errorf("killed at %q: the log has %s", point, got)
				}
				if ops[0].Outcome != want {
					t.Errorf("killed at %q, the log has %s: %+v", point, got, ops[0])
				}
				replaced, err := c.Replaced()
				undo := operations["undo rows"](t.Context(), c)
				if got := logged(t, crashed); want == "done" && (err != nil || undo != nil || replaced.Rows == nil || got != before || logged(t, image(t, c, replaced.ID)) != before) {
					t.Errorf("killed at %q: undo of %+v, %v, %v: the log has %s", point, replaced.ID, err, undo, got)
				} else if want == "failed" && before == lostLog && !errors.Is(err, snapshot.ErrNotFound) {
					t.Errorf("killed at %q: there is an undo of %s, %v", point, replaced.ID, err)
				}
				must(t, os.RemoveAll(work))
				if point == "" {
					if n < 8 || olds < 5 || news < 2 {
						t.Errorf("%d points, %d of them old and %d new", n, olds, news)
					}
					return
				}
			}
		})
	}
}

// Lost otherwise: what a person did not see before, when the plan that was shown does not hold any more.
func TestRowsArePlannedAndThePlanBinds(t *testing.T) {
	t.Parallel()
	m, db := newLive(t, "wal", snapshot.Config{})
	testdb.ShellQuery(t, db, fillLog)
	b := mustBackup(t, m)
	testdb.ShellQuery(t, db, loseLog)
	o := missingLog
	p, err := m.PlanRows(t.Context(), b.ID, o.RowsOptions)
	if err != nil || p.Inserted != 100 || p.Replaced != 0 || p.Backup.ID != b.ID {
		t.Fatalf("%+v, %v", p, err)
	}
	o.Plan = &p
	testdb.ShellQuery(t, db, "DELETE FROM log WHERE id=300")
	if _, err := m.RestoreRows(t.Context(), b.ID, o); !errors.Is(err, snapshot.ErrStale) {
		t.Errorf("%v", err)
	}
	testdb.ShellQuery(t, db, "INSERT INTO log VALUES(300, 'again')")
	if done, err := m.RestoreRows(t.Context(), b.ID, o); err != nil || done.Inserted != 100 {
		t.Errorf("%+v, %v", done, err)
	}
	all, err := m.Backups()
	must(t, err)
	if len(all) != 2 {
		t.Errorf("%d backups: want the one and the safety backup", len(all))
	}
}

// Lost otherwise: rows that are not the ones that were confirmed, only as many.
func TestAPlanBindsTheRowsAndNotTheirNumber(t *testing.T) {
	t.Parallel()
	for what, since := range map[string]string{
		"other rows are gone":       "INSERT INTO log VALUES(101, 'row 101'); DELETE FROM log WHERE id=300",
		"another row is another":    "UPDATE log SET filler='row 7' WHERE id=7; UPDATE log SET filler='since' WHERE id=8",
		"it has changed once more":  "UPDATE log SET filler='more' WHERE id=7",
		"a trigger came":            "CREATE TRIGGER extra AFTER INSERT ON log BEGIN DELETE FROM log WHERE id=500; END",
		"another one is in the way": "DELETE FROM log WHERE id=7; INSERT INTO log VALUES(101, 'x')",
	} {
		m, db := newLive(t, "wal", snapshot.Config{})
		testdb.ShellQuery(t, db, fillLog)
		b := mustBackup(t, m)
		testdb.ShellQuery(t, db, loseLog)
		o := missingLog
		o.Changed, o.OnConflict = true, snapshot.FailOnConflict
		p, err := m.PlanRows(t.Context(), b.ID, o.RowsOptions)
		must(t, err)
		testdb.ShellQuery(t, db, since)
		before := dump(t, db)
		o.Plan = &p
		for _, o.OnConflict = range []snapshot.RowsPolicy{snapshot.SkipOnConflict, snapshot.ReplaceOnConflict} {
			done, err := m.RestoreRows(t.Context(), b.ID, o)
			if what == "it has changed once more" && o.OnConflict == snapshot.SkipOnConflict { // that row stays as it is
				if err != nil || done.Inserted != 100 || done.Skipped != 1 {
					t.Errorf("%s: %+v, %v", what, done, err)
				}
				testdb.ShellQuery(t, db, "DELETE FROM log WHERE id BETWEEN 101 AND 200")
			} else if !errors.Is(err, snapshot.ErrStale) {
				t.Errorf("%s: %s: %+v, %v", what, o.OnConflict, done, err)
			}
		}
		if got := dump(t, db); got != before {
			t.Errorf("%s: the database was changed:\n%s", what, got)
		}
	}
}

// Lost otherwise: the undo of rows that others refer to since, under a policy that is chosen after its plan was seen, or such rows.
func TestAPlanOfAnUndoHoldsForEveryPolicy(t *testing.T) {
	t.Parallel()
	const tables = `CREATE TABLE a(id INTEGER PRIMARY KEY, x); CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE, x);
		CREATE TABLE c(id INTEGER PRIMARY KEY, b REFERENCES b ON DELETE CASCADE); INSERT INTO a VALUES(1,1),(2,2); INSERT INTO b VALUES(1,1,1),(2,2,2)`
	for policy, want := range map[snapshot.RowsPolicy]string{snapshot.SkipOnConflict: "1,2;1,2;1", snapshot.ReplaceOnConflict: ";;"} {
		for since, stale := range map[string]bool{"": false, "INSERT INTO c VALUES(2,2)": true} {
			m, db := newLive(t, "wal", snapshot.Config{})
			testdb.ShellQuery(t, db, tables)
			b := mustBackup(t, m)
			testdb.ShellQuery(t, db, "DELETE FROM a; DELETE FROM b")
			done, err := m.RestoreRows(t.Context(), b.ID, snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Table: "a", Missing: true, References: true}})
			if err != nil || done.Inserted != 4 {
				t.Fatalf("%+v, %v", done, err)
			}
			testdb.ShellQuery(t, db, "INSERT INTO c VALUES(1,1); UPDATE b SET x='since' WHERE id=2")
			p, err := m.PlanRows(t.Context(), *done.SafetyBackup, undoRows.RowsOptions)
			must(t, err)
			if p.Conflicting != 4 { // each of b, and each of a by it
				t.Errorf("%+v", p.RowsChange)
			}
			testdb.ShellQuery(t, db, since)
			o := snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Undo: true, OnConflict: policy}, Plan: &p}
			if _, err := m.RestoreRows(t.Context(), *done.SafetyBackup, o); stale != errors.Is(err, snapshot.ErrStale) || !stale && err != nil {
				t.Errorf("%s, then %q: %v", policy, since, err)
			}
			const ids = "(SELECT ifnull(group_concat(id),'') FROM "
			if got := testdb.ShellQuery(t, db, "SELECT "+ids+"a)||';'||"+ids+"b)||';'||"+ids+"c)"); !stale && got != want {
				t.Errorf("%s: %s", policy, got)
			}
		}
	}
}

// Lost otherwise: disk space for a state that nothing replaced, or the way back from what was committed all the same.
func TestRowsThatAreNotCommitted(t *testing.T) {
	t.Parallel()
	m, db := newLive(t, "wal", snapshot.Config{})
	testdb.ShellQuery(t, db, fillLog+"; CREATE TABLE parent(id INTEGER PRIMARY KEY); CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES parent); INSERT INTO parent VALUES(1); INSERT INTO child VALUES(1,1)")
	b := mustBackup(t, m)
	testdb.ShellQuery(t, db, "DELETE FROM child; DELETE FROM parent")
	before := dump(t, db)
	o := snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Table: "child", Missing: true}}
	_, err := m.RestoreRows(t.Context(), b.ID, o)
	if !errors.Is(err, snapshot.ErrRefused) || snapshot.Hint(err) == "" {
		t.Errorf("%v; %s", err, snapshot.Hint(err))
	}
	all, err := m.Backups()
	must(t, err)
	if got := dump(t, db); got != before || len(all) != 1 {
		t.Errorf("%d backups, database:\n%s", len(all), got)
	}
	if _, err := m.RestoreRows(t.Context(), b.ID, snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Table: "child"}}); !errors.Is(err, snapshot.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// Lost otherwise: the way back from rows that came back although their commit reported an error, or a record of rows that did not.
func TestRowsWhoseCommitFails(t *testing.T) {
	for _, commits := range []bool{true, false} {
		m, db := newLive(t, "wal", snapshot.Config{})
		testdb.ShellQuery(t, db, fillLog)
		b := mustBackup(t, m)
		testdb.ShellQuery(t, db, loseLog)
		snapshot.SetCommit(t, func(tx *pages.WriteTx, ctx context.Context) error {
			if commits {
				must(t, tx.Commit(ctx))
			}
			return syscall.EIO
		})
		_, err := m.RestoreRows(t.Context(), b.ID, missingLog)
		snapshot.SetCommit(t, (*pages.WriteTx).Commit)
		want, says := lostLog, "the database is as it was"
		if commits {
			want, says = wholeLog, "the rows are back all the same"
		}
		if got := logged(t, db); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), says) || got != want {
			t.Errorf("the log has %s: %v", got, err)
		}
		mustBackup(t, m) // the next operation finds out
		state, err := m.State()
		must(t, err)
		all, err := m.Backups()
		must(t, err)
		if (state.LastRows != nil) != commits || state.Restoring != nil || len(all) != 3 {
			t.Errorf("%d backups, last %+v, pending %+v", len(all), state.LastRows, state.Restoring)
		}
	}
}
