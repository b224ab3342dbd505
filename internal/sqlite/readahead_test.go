package sqlite

import (
	"fmt"
	"testing"
)

// sums read the whole of t, up and down: what was read ahead last is then asked for first.
var sums = [2]string{
	"SELECT (SELECT sum(length(b)+n) FROM t) + (SELECT sum(x) FROM (SELECT length(b)+n AS x FROM t ORDER BY id DESC))",
	"SELECT (SELECT sum(x) FROM (SELECT length(b)+n AS x FROM t ORDER BY id DESC)) + (SELECT sum(length(b)+n) FROM t)",
}

// What was read ahead must not outlive the lock under which it was: others, and the
// connection itself, write to the very pages.
func TestReadAheadForgets(t *testing.T) {
	for _, journal := range []string{"delete", "wal"} {
		for _, size := range []int{512, 4096, 65536} {
			t.Run(fmt.Sprint(journal, size), func(t *testing.T) {
				path := makeDB(t, "x.db", fmt.Sprintf("PRAGMA page_size=%d; PRAGMA journal_mode=%s; CREATE TABLE t(id INTEGER PRIMARY KEY, n, b);"+
					"WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM i WHERE n<40) INSERT INTO t SELECT n, 0, zeroblob(%d) FROM i", size, journal, size/2))
				reader, writer := open(t, path, Options{Untrusted: true}), open(t, path, Options{})
				// A page cache of nothing: each page comes from the file.
				if err := reader.Exec(t.Context(), "PRAGMA cache_size=1"); err != nil {
					t.Fatal(err)
				}
				want := value(t, writer, sums[0])
				for round := range 10 {
					if got := value(t, reader, sums[round/2%2]); got != want {
						t.Fatalf("round %d: %d, want %d", round, got, want)
					}
					by := writer
					if round%3 == 2 {
						by = reader
					}
					if err := by.Exec(t.Context(), "UPDATE t SET n=n+1"); err != nil {
						t.Fatal(err)
					}
					if journal == "wal" && round%2 == 1 { // into the file, and the log restarts
						if err := writer.Exec(t.Context(), "PRAGMA wal_checkpoint(restart)"); err != nil {
							t.Fatal(err)
						}
					}
					want += 80
				}
			})
		}
	}
}

// Inside one transaction the own writes must be seen as well.
func TestReadAheadSeesItsOwnWrites(t *testing.T) {
	path := makeDB(t, "x.db", "PRAGMA journal_mode=delete; CREATE TABLE t(id INTEGER PRIMARY KEY, n, b);"+
		"WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM i WHERE n<400) INSERT INTO t SELECT n, 0, zeroblob(3000) FROM i; CREATE TABLE u AS SELECT zeroblob(300000)")
	c := open(t, path, Options{Untrusted: true})
	if err := c.Exec(t.Context(), "PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	want := value(t, c, sums[0])
	for i := range 4 {
		if err := c.Exec(t.Context(), "UPDATE t SET n=n+1"); err != nil { // spills into the file
			t.Fatal(err)
		}
		want += 800
		if got := value(t, c, sums[i%2]); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	}
	if err := c.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if got := value(t, c, sums[0]); got != want-4*800 {
		t.Fatalf("after the rollback %d, want %d", got, want-4*800)
	}
}

// A database that ends within what is read ahead, at any page, is read to its end.
func TestReadAheadToTheEnd(t *testing.T) {
	for pages := range 40 {
		path := makeDB(t, "x.db", fmt.Sprintf("CREATE TABLE t(id INTEGER PRIMARY KEY, n, b); INSERT INTO t VALUES(1, 7, zeroblob(%d*4092))", pages))
		c := open(t, path, Options{Untrusted: true, ReadOnly: true})
		if got := value(t, c, "SELECT sum(n) + length(CAST(group_concat(hex(b)) AS BLOB)) FROM t"); got != int64(7+2*pages*4092) {
			t.Errorf("%d pages: %d", pages, got)
		}
		images := 0
		err := c.Each(t.Context(), "SELECT data FROM sqlite_dbpage ORDER BY pgno", func(s *Stmt) error {
			images += len(s.Blob(0))
			return nil
		})
		count := value(t, c, "PRAGMA page_count")
		if err != nil || int64(images) != 4096*count {
			t.Errorf("%d pages: %d bytes of %d pages, %v", pages, images, count, err)
		}
	}
}

func open(t *testing.T, path string, o Options) *Conn {
	t.Helper()
	c, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func value(t *testing.T, c *Conn, sql string) int64 {
	t.Helper()
	v, err := c.Int(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
