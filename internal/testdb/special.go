package testdb

import (
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// HotJournal returns the path of a database whose writer died in the middle of a
// transaction: half of it is in the file, and the -journal next to it is needed to
// take it back. It is whole again once SQLite has opened it for writing.
func HotJournal(t testing.TB) (path string, sum int64) {
	t.Helper()
	v := Variant{Name: "hot-journal", PageSize: 1024, JournalMode: "delete", sql: itemsSQL + manyPages}
	from := filepath.Join(t.TempDir(), "alive.db")
	v.CreateAt(t, from)
	c, err := sqlite.Open(from, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A cache of a few pages has to be spilled into the file before the commit.
	script := `PRAGMA cache_size=5; BEGIN IMMEDIATE; UPDATE accounts SET balance = balance + 1;
		UPDATE items SET data = zeroblob(500); UPDATE bulk SET data = randomblob(900)`
	if err := c.Exec(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "data.db")
	copyOpen(t, from+"-journal", path+"-journal")
	copyOpen(t, from, path)
	if err := c.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	CheckAtEnd(t, path)
	return path, variantAccounts * variantOpening
}
