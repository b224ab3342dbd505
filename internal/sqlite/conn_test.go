package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

func makeDB(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	uri, err := URI(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// A path is data, with any characters: opening another file would back up the wrong one.
func TestOpenOddPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "q?mode=memory.db", "h#x.db", "p%41.db", "ü–数据.db", "a&b=c.db"} {
		path := makeDB(t, name, "CREATE TABLE t(a); INSERT INTO t VALUES(42)")
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, err := Open(path, Options{ReadOnly: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v, err := c.Int(t.Context(), "SELECT a FROM t"); err != nil || v != 42 {
			t.Errorf("%s: %d, %v", name, v, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenNeverCreates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	if c, err := Open(path, Options{}); err == nil {
		c.Close()
		t.Fatal("opened a missing file")
	} else if Classify(err) != ClassPermission {
		t.Fatalf("class of %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("file was created")
	}
}

// A statement that would run for hours ends when its context does.
func TestInterrupt(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE TABLE t(a)")
	c, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Int(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT sum(i) FROM n")
	if !errors.Is(err, context.DeadlineExceeded) || Classify(err) != ClassInterrupted {
		t.Fatalf("got %v", err)
	}
	if v, err := c.Int(t.Context(), "SELECT 7"); err != nil || v != 7 {
		t.Fatalf("the connection is unusable afterwards: %d, %v", v, err)
	}
}

// The last connection's close must not checkpoint another program's WAL.
func TestCloseDoesNotCheckpoint(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE TABLE t(a)")
	w, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Exec(t.Context(), "PRAGMA journal_mode=wal; INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(path)
	if st, err := os.Stat(path + "-wal"); err != nil || st.Size() == 0 {
		t.Fatalf("wal gone: %v", err)
	}
	if !bytes.Equal(before, after) {
		t.Fatal("main file changed by close")
	}
}

func TestUntrustedLimits(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE TABLE t(a); INSERT INTO t VALUES(1)")
	c, err := Open(path, Options{Untrusted: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Int(t.Context(), "SELECT length(hex(zeroblob(400000000)))"); Classify(err) != ClassTooBig {
		t.Fatalf("got %v", err)
	}
	if err := c.Exec(t.Context(), "ATTACH 'other.db' AS o"); err == nil {
		t.Fatal("an untrusted file's connection may attach other files")
	}
}

func TestBindAndBorrow(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE TABLE t(a,b)")
	c, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Prepare("INSERT INTO t VALUES(?,?)")
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range [][]byte{{1, 2, 3}, {}} {
		if err := errors.Join(s.BindInt(1, int64(i)), s.BindBlob(2, b)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Reset()
	}
	if err := s.BindNull(2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StepFast(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	var got []string
	err = c.Each(t.Context(), "SELECT typeof(b), b FROM t", func(s *Stmt) error {
		got = append(got, s.Text(0))
		if len(got) == 1 && !bytes.Equal(s.Blob(1), []byte{1, 2, 3}) {
			t.Errorf("blob %v", s.Blob(1))
		}
		return nil
	})
	if err != nil || len(got) != 3 || got[0] != "blob" || got[1] != "blob" || got[2] != "null" {
		t.Fatalf("%v, %v", got, err)
	}
}

// Garbage is not a database, and the error says so by class.
func TestClassify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("hello "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Int(t.Context(), "SELECT count(*) FROM sqlite_master"); Classify(err) != ClassNotADB {
		t.Fatalf("got %v", err)
	}
	good := makeDB(t, "y.db", "CREATE TABLE t(a)")
	a, _ := Open(good, Options{})
	defer a.Close()
	b, _ := Open(good, Options{})
	defer b.Close()
	if err := a.Exec(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Int(t.Context(), "SELECT count(*) FROM t"); Classify(err) != ClassBusy {
		t.Fatalf("got %v", err)
	}
}

// A restore into a file that may not be written must be refused at the start:
// SQLite itself would quietly begin a read transaction.
func TestReadOnlyIsTold(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE TABLE t(a)")
	for _, want := range []bool{true, false} {
		c, err := Open(path, Options{ReadOnly: want})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.ReadOnly(); err != nil || got != want {
			t.Errorf("read-only %v, want %v, %v", got, want, err)
		}
		if err := errors.Join(c.Exec(t.Context(), "BEGIN IMMEDIATE"), c.CacheFlush(), c.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Text is UTF-8 also in a UTF-16 database: finding messages and facts come through it.
func TestTextOfUTF16(t *testing.T) {
	path := makeDB(t, "x.db", "PRAGMA encoding='UTF-16be'; CREATE TABLE t(a); INSERT INTO t VALUES('grüße 数据')")
	c, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, sql := range []string{"SELECT a FROM t", "SELECT a FROM (SELECT a, count(*) OVER () FROM t)"} {
		if got, err := c.Text(t.Context(), sql); err != nil || got != "grüße 数据" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if got, err := c.Text(t.Context(), "PRAGMA encoding"); err != nil || got != "UTF-16be" {
		t.Errorf("%q, %v", got, err)
	}
}

// With a cache shared with the host our read transactions would lock its tables, and what
// stands before its file would be gone with our connection.
func TestOpenSharesNoCache(t *testing.T) {
	tls := libc.NewTLS()
	defer tls.Close()
	path := makeDB(t, "x.db", "PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1)")
	sqlite3.Xsqlite3_enable_shared_cache(tls, 1)
	defer sqlite3.Xsqlite3_enable_shared_cache(tls, 0)
	host, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if _, err := host.Exec("INSERT INTO t VALUES(2)"); err != nil {
		t.Fatal(err)
	}
	c := open(t, path, Options{Untrusted: true, ReadOnly: true})
	if err := c.Exec(t.Context(), "BEGIN; SELECT count(*) FROM t"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := host.ExecContext(ctx, "INSERT INTO t VALUES(3)"); err != nil {
		t.Errorf("during our reading: %v", err)
	}
	if n := value(t, c, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows", n)
	}
}
