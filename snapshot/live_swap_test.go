package snapshot_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: an idle connection goes on writing into the file that was replaced, and
// its commits are gone. The refusal has to name whom to stop.
func TestSwapIsRefusedWhileSomebodyHasTheFile(t *testing.T) {
	t.Parallel()
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			m, db := newLive(t, mode, snapshot.Config{LockWait: 2 * time.Second})
			old := mustBackup(t, m)
			testdb.ShellQuery(t, db, "INSERT INTO log VALUES(1, 'after')")
			shell := startShell(t, db)
			if got := shell.ask("SELECT count(*) FROM log"); got != "1" { // now it is idle, and holds no lock
				t.Fatal(got)
			}
			stored := archives(testdb.DirListing(t, m.Dir()))
			before := fmt.Sprint(dbFiles(t, db))
			offline := snapshot.RestoreOptions{Offline: true}
			_, err := m.Restore(t.Context(), old.ID, offline)
			if !errors.Is(err, snapshot.ErrBusy) || !strings.Contains(err.Error(), strconv.Itoa(shell.pid())) || snapshot.Hint(err) == "" {
				t.Errorf("want ErrBusy, process %d and a hint: %v (%s)", shell.pid(), err, snapshot.Hint(err))
			}
			if fmt.Sprint(dbFiles(t, db)) != before || archives(testdb.DirListing(t, m.Dir())) != stored {
				t.Error("the refused restore changed something")
			}
			if got := shell.ask("INSERT INTO log VALUES(2, 'later')"); got != "" {
				t.Errorf("the shell cannot write any more: %s", got)
			}
			shell.end()
			res, err := m.Restore(t.Context(), old.ID, offline)
			must(t, err)
			if res.Method != snapshot.Swap || res.SafetyBackup == nil {
				t.Fatalf("%+v", res)
			}
			if got := logged(t, image(t, m, *res.SafetyBackup)); got != "1-2" {
				t.Errorf("the safety backup holds rows %s", got)
			}
			if got := testdb.ShellQuery(t, db, "SELECT count(*) FROM log"); got != "0" {
				t.Errorf("%s rows after the restore", got)
			}
			noDebris(t, db, "after the swap")
		})
	}
}

// Lost: the host's own pool would be in the way of every offline restore, or
// be left on the replaced file.
func TestSwapWithTheHostsOwnPool(t *testing.T) {
	t.Parallel()
	var pool *sql.DB
	var db string
	reopen := func(context.Context) (err error) {
		pool, err = samplecrm.Open(db, "")
		return err
	}
	m, db0 := newLive(t, "wal", snapshot.Config{LockWait: 300 * time.Millisecond})
	db = db0
	must(t, reopen(t.Context()))
	defer func() { pool.Close() }()
	must(t, pool.Ping())
	old := mustBackup(t, m)
	_, err := pool.Exec("INSERT INTO log VALUES(1, 'after')")
	must(t, err)
	if _, err := m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{Offline: true}); !errors.Is(err, snapshot.ErrBusy) {
		t.Fatalf("with an open pool: %v", err)
	}
	m, err = snapshot.Open(t.Context(), snapshot.Config{Database: db, AfterSwap: reopen,
		BeforeSwap: func(context.Context) error { return pool.Close() }})
	must(t, err)
	must(t, last(m.Restore(t.Context(), old.ID, snapshot.RestoreOptions{Offline: true})))
	var rows int
	must(t, pool.QueryRow("SELECT count(*) FROM log").Scan(&rows))
	if rows != 0 {
		t.Errorf("the reopened pool sees %d rows", rows)
	}
}
