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
