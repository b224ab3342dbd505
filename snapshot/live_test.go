package snapshot_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// journalModes are the two kinds that restores have to get along with.
var journalModes = []string{"wal", "delete"}

// newLive makes a sample database with a log table, and a Manager for it.
func newLive(t *testing.T, mode string, c snapshot.Config) (*snapshot.Manager, string) {
	t.Helper()
	c.Database = filepath.Join(t.TempDir(), "data.db")
	testdb.MakeCRM(t, c.Database, samplecrm.Options{Bytes: 1 << 20, Seed: 1, JournalMode: mode})
	testdb.CheckAtEnd(t, c.Database)
	testdb.ShellQuery(t, c.Database, "CREATE TABLE log(id INTEGER PRIMARY KEY, filler TEXT)")
	m, err := snapshot.Open(t.Context(), c)
	must(t, err)
	return m, c.Database
}

func mustBackup(t *testing.T, m *snapshot.Manager) snapshot.Backup {
	t.Helper()
	b, err := m.Backup(t.Context(), snapshot.Manual("test"))
	must(t, err)
	if b.Verification.State != catalog.Verified {
		t.Fatalf("backup %s is %+v", b.ID, b.Verification)
	}
	return b
}

// logged returns the rows of the log as "1-17,30-42".
func logged(t *testing.T, db string) string {
	t.Helper()
	return testdb.ShellQuery(t, db, `SELECT group_concat(lo||'-'||hi) FROM
		(SELECT min(id) lo, max(id) hi FROM (SELECT id, id - row_number() OVER (ORDER BY id) g FROM log) GROUP BY g ORDER BY lo)`)
}

// image unpacks a backup with the stock tool.
func image(t *testing.T, m *snapshot.Manager, id string) string {
	t.Helper()
	b, err := m.Find(id)
	must(t, err)
	path := filepath.Join(t.TempDir(), "image.db")
	unzstd(t, m.ArchivePath(b), path)
	return path
}

// Lost if this fails: commits that were acknowledged to users. A writer that never
// stops runs concurrently with the restore: each row acknowledged to it is in the
// safety backup, or was committed onto the restored database; none is in neither.
func TestRestoreDuringWritesLosesNoCommit(t *testing.T) {
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			m, db := newLive(t, mode, snapshot.Config{})
			w := startLogger(t, db, "30")
			w.wait(20)
			old := mustBackup(t, m)
			kept := logged(t, image(t, m, old.ID))
			for range 3 {
				w.wait(20)
				ackedBefore := w.acked.Load()
				res, err := m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{})
				must(t, err)
				w.wait(5)
				if res.Method != snapshot.Online || res.SafetyBackup == nil {
					t.Fatalf("%+v", res)
				}
				saved := image(t, m, *res.SafetyBackup)
				testdb.ShellIntegrity(t, saved)
				last := testdb.ShellQuery(t, saved, "SELECT max(id) FROM log")
				if n, err := strconv.ParseInt(last, 10, 64); err != nil || n < ackedBefore {
					t.Errorf("row %d was acknowledged before the restore; the safety backup ends at %s", ackedBefore, last)
				}
				live := testdb.ShellQuery(t, db, "SELECT min(id) FROM log WHERE id > "+strings.Split(kept, "-")[1])
				if n, _ := strconv.ParseInt(last, 10, 64); live != strconv.FormatInt(n+1, 10) {
					t.Errorf("the safety backup ends at row %s, the restored database goes on at %s: commits are lost in between", last, live)
				}
				if got := logged(t, db); !strings.HasPrefix(got, kept+",") || strings.Count(got, ",") != 1 {
					t.Errorf("restored database: rows %s, want %s and then the new ones", got, kept)
				}
			}
			last := w.stop()
			if got := testdb.ShellQuery(t, db, "SELECT max(id) FROM log"); got != strconv.FormatInt(last, 10) {
				t.Errorf("the last acknowledged row is %d, in the database it is %s", last, got)
			}
			testdb.ShellIntegrity(t, db)
			t.Logf("%d commits acknowledged, longest took %v", last, w.longest)
		})
	}
}

// Lost: an application that goes on with cached pages or a cached schema of the
// database that was replaced, and writes them back into the restored one.
func TestOpenConnectionsSeeTheRestoredDatabase(t *testing.T) {
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			m, db := newLive(t, mode, snapshot.Config{})
			testdb.ShellQuery(t, db, "INSERT INTO log VALUES(1, 'before'); CREATE TABLE goes(a); CREATE INDEX goes_a ON goes(a)")
			old := mustBackup(t, m)
			testdb.ShellQuery(t, db, "DELETE FROM log; ALTER TABLE log ADD COLUMN later TEXT; INSERT INTO log VALUES(2, 'after', 'x'); DROP TABLE goes; CREATE TABLE comes(b); INSERT INTO comes VALUES(7)")

			pool, err := samplecrm.Open(db, "")
			must(t, err)
			defer pool.Close()
			prepared, err := pool.Prepare("SELECT group_concat(filler) FROM log")
			must(t, err)
			defer prepared.Close()
			schema, err := pool.Prepare("SELECT count(*) FROM comes")
			must(t, err)
			defer schema.Close()
			python, shell := startPython(t, db, "10"), startShell(t, db)
			see := func() string {
				var word string
				if err := prepared.QueryRow().Scan(&word); err != nil {
					word = err.Error()
				}
				query := "SELECT group_concat(filler) FROM log"
				return word + " " + python.ask(query) + " " + shell.ask(query)
			}
			if got := see(); got != "after after after" {
				t.Fatal(got)
			}
			must(t, last(m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{})))
			if got := see(); got != "before before before" {
				t.Errorf("open connections see %q", got)
			}
			var n int
			if err := schema.QueryRow().Scan(&n); err == nil || !strings.Contains(err.Error(), "comes") {
				t.Errorf("a prepared statement still finds the table that is gone: %d, %v", n, err)
			}
			for _, p := range []*peer{python, shell} {
				if got := p.ask("SELECT count(*) FROM goes"); got != "0" {
					t.Errorf("the table that came back: %s", got)
				}
				if got := p.ask("PRAGMA integrity_check"); got != "ok" {
					t.Errorf("integrity: %s", got)
				}
				if got := p.ask("INSERT INTO log(filler) VALUES('new')"); got != "" {
					t.Errorf("write after the restore: %s", got)
				}
			}
			if _, err := pool.Exec("INSERT INTO log(filler) VALUES('new')"); err != nil {
				t.Error(err)
			}
			python.end()
			shell.end()
			if got := logged(t, db); got != "1-4" {
				t.Errorf("rows after every connection wrote: %s", got)
			}
			testdb.ShellIntegrity(t, db)
			testdb.Ledger(t, db)
		})
	}
}

// Lost: a reader in the middle of a report must not see it change under it.
func TestRestoreWithAReaderWAL(t *testing.T) {
	t.Parallel()
	m, db := newLive(t, "wal", snapshot.Config{})
	old := mustBackup(t, m)
	testdb.ShellQuery(t, db, "INSERT INTO log VALUES(1, 'after')")
	reader := startPython(t, db, "0")
	reader.ask("BEGIN")
	count := "SELECT count(*) FROM log"
	if got := reader.ask(count); got != "1" {
		t.Fatal(got)
	}
	must(t, last(m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{})))
	if got := reader.ask(count); got != "1" {
		t.Errorf("the open transaction sees %s rows", got)
	}
	if got := reader.ask("PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity within the open transaction: %s", got)
	}
	reader.ask("COMMIT")
	if got := reader.ask(count); got != "0" {
		t.Errorf("after its transaction the reader sees %s rows", got)
	}
}

// Lost: in rollback modes a reader makes the restore wait, or fail whole.
func TestRestoreWithAReaderDelete(t *testing.T) {
	t.Parallel()
	written := make(chan struct{}, 100)
	note := func(e snapshot.Event) {
		if e.Operation == "restore" && e.Phase == "write" && e.Done > 0 && e.Done == e.Total {
			written <- struct{}{}
		}
	}
	m, db := newLive(t, "delete", snapshot.Config{LockWait: time.Second, OnEvent: note})
	old := mustBackup(t, m)
	testdb.ShellQuery(t, db, "INSERT INTO log VALUES(1, 'after')")
	reader := startPython(t, db, "0")
	reader.ask("BEGIN")
	reader.ask("SELECT count(*) FROM log")
	before := testdb.FileHash(t, db)
	if _, err := m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{}); !errors.Is(err, snapshot.ErrBusy) {
		t.Fatalf("with a reader: %v", err)
	}
	<-written
	if testdb.FileHash(t, db) != before {
		t.Error("the restore that failed changed the database")
	}
	if got := reader.ask("SELECT count(*) FROM log"); got != "1" {
		t.Errorf("the reader sees %s", got)
	}
	patient, err := snapshot.Open(t.Context(), snapshot.Config{Database: db, LockWait: 20 * time.Second, OnEvent: note})
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- last(patient.Restore(context.Background(), old.ID, snapshot.RestoreOptions{})) }()
	select {
	case <-written: // all that is left is the commit
	case err := <-done:
		t.Fatalf("it did not get as far as the commit: %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the reader: %v", err)
	case <-time.After(50 * time.Millisecond): // not to wait is what would take no time
	}
	if got := reader.ask("COMMIT"); got != "" {
		t.Errorf("the reader's end: %s", got)
	}
	must(t, <-done)
	if got := reader.ask("SELECT count(*) FROM log"); got != "0" {
		t.Errorf("after the restore the reader sees %s rows", got)
	}
}

// Lost: a restore so large that it has to make room before its commit must not
// wait for a reader for ever, with every other connection locked out meanwhile; and the
// time that its safety backup takes must not count as waiting for the lock.
func TestLargeRestoreWithAReaderDelete(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	must(t, samplecrm.Create(t.Context(), db, samplecrm.Options{Bytes: 24 << 20, Seed: 1, JournalMode: "delete"}))
	phase := make(chan string, 1000)
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: db, LockWait: 300 * time.Millisecond, OnEvent: func(e snapshot.Event) {
		if e.Operation == "restore" && e.Done == 0 {
			phase <- string(e.Phase)
		}
	}})
	must(t, err)
	old := mustBackup(t, m)
	testdb.ShellQuery(t, db, "PRAGMA synchronous=off; UPDATE activities SET body=upper(body); UPDATE attachments SET content=zeroblob(length(content))")
	before := testdb.FileHash(t, db)
	reader := startPython(t, db, "0")
	reader.ask("BEGIN")
	reader.ask("SELECT count(*) FROM log")
	reader.ask("SELECT count(*) FROM contacts")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := m.Restore(ctx, old.ID, snapshot.RestoreOptions{}); !errors.Is(err, snapshot.ErrBusy) || ctx.Err() != nil {
		t.Fatalf("with a reader: %v", err)
	}
	if testdb.FileHash(t, db) != before {
		t.Error("the restore that failed changed the database")
	}
	if got := startPython(t, db, "0").ask("SELECT count(*) > 0 FROM contacts"); got != "1" {
		t.Errorf("a new reader after the restore that failed: %s", got)
	}
	for len(phase) > 0 {
		<-phase
	}
	done := make(chan error, 1)
	go func() { done <- last(m.Restore(ctx, old.ID, snapshot.RestoreOptions{})) }()
	for waiting := true; waiting; { // until the safety backup is made: only then is the reader in the way
		select {
		case p := <-phase:
			waiting = p != "write"
		case err := <-done:
			t.Fatalf("it did not get as far as writing: %v", err)
		}
	}
	reader.ask("COMMIT")
	if err := <-done; err != nil {
		t.Errorf("the reader ended in time: %v", err)
	}
}

// Lost: a restore that gives up has to leave no trace, and to say why.
func TestRestoreDuringALongWriteIsBusy(t *testing.T) {
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			m, db := newLive(t, mode, snapshot.Config{LockWait: 300 * time.Millisecond})
			old := mustBackup(t, m)
			writer := startPython(t, db, "0")
			writer.ask("BEGIN IMMEDIATE")
			writer.ask("INSERT INTO log VALUES(1, 'uncommitted')")
			stored := testdb.DirListing(t, m.Dir())
			before := fmt.Sprint(dbFiles(t, db))
			_, err := m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{})
			if !errors.Is(err, snapshot.ErrBusy) || !strings.Contains(err.Error(), strconv.Itoa(writer.pid())) {
				t.Errorf("want ErrBusy and the writer's process id %d: %v", writer.pid(), err)
			}
			if after := fmt.Sprint(dbFiles(t, db)); after != before {
				t.Errorf("files changed: %s, were %s", after, before)
			}
			if after := testdb.DirListing(t, m.Dir()); archives(after) != archives(stored) {
				t.Errorf("backups changed:\n%s\nwere\n%s", after, stored)
			}
			if got := writer.ask("COMMIT"); got != "" {
				t.Errorf("the writer's commit: %s", got)
			}
			if got := logged(t, db); got != "1-1" {
				t.Errorf("the writer's row: %q", got)
			}
			noDebris(t, db, "after a busy restore")
		})
	}
}

// archives returns the lines of a listing that describe backups.
func archives(listing string) string {
	var lines []string
	for line := range strings.Lines(listing) {
		if strings.Contains(line, ".zst") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// Lost: the application's own transaction. Closing any descriptor of the
// database file drops the process's POSIX locks; another process could then
// write into the middle of it. This process has no OFD locks.
func TestApplicationsLocksSurvive(t *testing.T) {
	t.Parallel()
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			m, db := newLive(t, mode, snapshot.Config{LockWait: 200 * time.Millisecond})
			b := mustBackup(t, m)
			pool := testdb.Open(t, db)
			conn, err := pool.Conn(t.Context())
			must(t, err)
			defer conn.Close()
			exec := func(query string) {
				t.Helper()
				_, err := conn.ExecContext(t.Context(), query)
				must(t, err)
			}
			other := startPython(t, db, "0")
			locked := func(after, statement string) {
				t.Helper()
				if got := other.ask(statement); !strings.Contains(got, "locked") {
					t.Errorf("after %s another process was let in: %q", after, got)
					other.ask("ROLLBACK")
				}
			}
			exec("BEGIN IMMEDIATE")
			exec("INSERT INTO log VALUES(1, 'mine')")
			locked("nothing yet", "BEGIN IMMEDIATE")
			everything(t, m, b.ID, func(operation string) { locked(operation, "BEGIN IMMEDIATE") })
			exec("COMMIT")
			if mode == "delete" {
				exec("BEGIN EXCLUSIVE")
				exec("INSERT INTO log VALUES(2, 'mine')")
				everything(t, m, b.ID, func(operation string) { locked(operation, "SELECT * FROM log") })
				exec("COMMIT")
			}
			var rows int
			must(t, conn.QueryRowContext(t.Context(), "SELECT count(*) FROM log").Scan(&rows))
			if want := map[string]int{"wal": 1, "delete": 2}[mode]; rows != want {
				t.Errorf("%d rows, want %d", rows, want)
			}
		})
	}
}

// everything runs what a Manager can do during a transaction of the
// application's. Some of it has to fail; the caller's then checks the state after each.
func everything(t *testing.T, m *snapshot.Manager, id string, then func(operation string)) {
	t.Helper()
	ctx := t.Context()
	to := filepath.Join(t.TempDir(), "to.db")
	for _, o := range []struct {
		name string
		run  func() error
	}{
		{"Open", func() error {
			_, err := snapshot.Open(ctx, snapshot.Config{Database: m.Database()})
			return err
		}},
		{"Status", func() error { _, err := m.Status(ctx); return err }},
		{"Check header", func() error { _, err := m.Check(ctx, integrity.LevelHeader); return err }},
		{"Check quick", func() error { _, err := m.Check(ctx, integrity.LevelQuick); return err }},
		{"Check full", func() error { _, err := m.Check(ctx, integrity.LevelFull); return err }},
		{"Backup", func() error { _, err := m.Backup(ctx, snapshot.Manual("")); return err }},
		{"Auto backup", func() error { _, err := m.Backup(ctx, snapshot.Auto(catalog.TriggerSchedule)); return err }},
		{"Verify", func() error { _, err := m.Verify(ctx, id, integrity.LevelFull); return err }},
		{"OpenBackup", func() error { db, err := m.OpenBackup(ctx, id); return errors.Join(err, closeDB(db)) }},
		{"Restore", func() error {
			_, err := m.Restore(ctx, id, snapshot.RestoreOptions{})
			return err
		}},
		{"Restore to a file", func() error {
			_, err := m.Restore(ctx, id, snapshot.RestoreOptions{To: to})
			return err
		}},
		{"Restore offline", func() error {
			_, err := m.Restore(ctx, id, snapshot.RestoreOptions{Offline: true})
			return err
		}},
		{"Recover", func() error { _, err := m.Recover(ctx); return err }},
		{"Prune", func() error { _, err := m.Prune(ctx, nil); return err }},
	} {
		err := o.run()
		var check *integrity.CheckError
		if err != nil && !errors.Is(err, snapshot.ErrBusy) && !(errors.As(err, &check) && check.Code == integrity.ErrCodeBusy) {
			t.Errorf("%s: %v", o.name, err)
		}
		then(o.name)
	}
}

func closeDB(db *sql.DB) error {
	if db == nil {
		return nil
	}
	return db.Close()
}
