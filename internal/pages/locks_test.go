package pages

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// The application is in the middle of a transaction in this very process. A whole
// snapshot and a refused restore next to it must not drop its locks: else
// another process writes into its transaction, and the database is corrupt.
func TestOurConnectionsKeepTheApplicationsLocks(t *testing.T) {
	t.Parallel()
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
			s, err := Begin(t.Context(), db, livedb.Options{})
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
		// And a restore next to an idle connection, then the connection goes on.
		info, image := take(t, db)
		if _, err := replace(t, db, image, info.PageSize); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE; INSERT INTO t VALUES(4)"); err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		s, err := Begin(t.Context(), db, livedb.Options{})
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

// Two snapshots that overlap, or one that is killed, would each take the empty
// WAL for the other's: one of them has to remove it.
func TestOverlappingSnapshotsLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "data.db")
	shell(t, db, "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
	before := state(t, dir)
	first, err := Begin(t.Context(), db, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Begin(t.Context(), db, livedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	if after := state(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}

// Locked by the host itself, which no waiting ends: the message must say so.
func TestLockedByThisProcess(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "CREATE TABLE t(a)")
	app, err := sql.Open("sqlite", db)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	conn, err := app.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Begin(ctx, db, livedb.Options{}); !errors.Is(err, livedb.ErrBusy) || runtime.GOOS == "linux" && !strings.Contains(err.Error(), "this very process") {
		t.Error(err)
	}
}

// A checkpoint is its owner's to run: after a restore next to an open application
// the main file is as it was, the restored pages are in the WAL.
func TestCommitDoesNotCheckpoint(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "PRAGMA journal_mode=wal; "+largeSchema)
	info, image := take(t, db)
	shell(t, db, "UPDATE big SET state='new', body=randomblob(3900)")
	python(t, db, `c.execute("SELECT count(*) FROM big").fetchall(); ready(); sys.stdin.read()`)
	before, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := replace(t, db, image, info.PageSize); err != nil || n < 10000 {
		t.Fatalf("%d pages, %v", n, err)
	}
	after, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, "main file", after, before)
	if got := shell(t, db, "SELECT count(*) FROM big WHERE state='old'"); got != "10000" {
		t.Error(got)
	}
}
