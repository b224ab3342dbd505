package pages

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// The application is in the middle of a transaction in this very process. A whole
// snapshot and a refused restore beside it must not drop its locks: else
// another process writes into its transaction, and the database is corrupt.
func TestOurConnectionsKeepTheApplicationsLocks(t *testing.T) {
	for _, journal := range []string{"delete", "wal"} {
		db := filepath.Join(t.TempDir(), "data.db")
		shell(t, db, "PRAGMA journal_mode="+journal+"; CREATE TABLE t(a)")
		app, err := sql.Open("sqlite", db)
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		conn, err := app.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE; INSERT INTO t VALUES(1)"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s, err := Begin(t.Context(), db, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.CopyTo(t.Context(), io.Discard, nil), s.Close()); err != nil {
				t.Fatal(err)
			}
			if out := shellFails(t, db, "INSERT INTO t VALUES(2)"); !strings.Contains(out, "locked") {
				t.Fatalf("%s: %s", journal, out)
			}
		}
		if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		if got := shell(t, db, "SELECT group_concat(a) FROM t; INSERT INTO t VALUES(3)"); got != "1" {
			t.Errorf("%s: %s", journal, got)
		}
		// And a restore beside an idle connection, then the connection goes on.
		info, image := take(t, db)
		if _, err := replace(t, db, image, info.PageSize); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE; INSERT INTO t VALUES(4)"); err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		s, err := Begin(t.Context(), db, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.CopyTo(t.Context(), &again, nil), s.Close()); err != nil {
			t.Fatal(err)
		}
		if out := shellFails(t, db, "INSERT INTO t VALUES(5)"); !strings.Contains(out, "locked") {
			t.Fatalf("%s: after a restore: %s", journal, out)
		}
		if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		if got := shell(t, db, "SELECT group_concat(a) FROM t; PRAGMA integrity_check"); got != "1,3,4\nok" {
			t.Errorf("%s: %s", journal, got)
		}
		conn.Close()
		if got := shell(t, restored(t, again.Bytes()), "SELECT group_concat(a) FROM t"); got != "1,3" {
			t.Errorf("%s: image inside a transaction has %s", journal, got)
		}
	}
}
