package sqlitefile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlitefile"
)

// The index and the log of a database in use say the same.
func TestIndexThatSQLiteWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openDB(t, path)
	run(t, db, "PRAGMA page_size=1024", "PRAGMA journal_mode=wal", "PRAGMA wal_autocheckpoint=0", "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(2)")
	shm, wal := content(t, sqlitefile.SHM(path)), content(t, sqlitefile.WAL(path))
	l := read(t, wal)
	x, torn, ok := sqlitefile.ParseWALIndex(shm)
	if torn || !ok || x.LastFrame != l.CommitFrame || x.Pages != l.Pages || x.Salts != l.Header.Salts() || x.PageSize != 1024 || x.Copied != 0 || x.Changes < 3 {
		t.Fatalf("index %+v %v %v, log %+v", x, torn, ok, l)
	}
	if sum := wal[l.PageAt(x.LastFrame)-8:]; !bytes.Equal(x.Sum[:], sum[:8]) {
		t.Errorf("checksum % x, in the log % x", x.Sum, sum[:8])
	}
	run(t, db, "PRAGMA wal_checkpoint(PASSIVE)")
	if x, _, ok := sqlitefile.ParseWALIndex(content(t, sqlitefile.SHM(path))); !ok || x.Copied != l.CommitFrame {
		t.Errorf("after the checkpoint %+v %v", x, ok)
	}
	shm[sqlitefile.SHMHeaderSize+16]++
	if _, torn, ok := sqlitefile.ParseWALIndex(shm); !torn || ok {
		t.Errorf("copies that differ: torn %v, ok %v", torn, ok)
	}
}

func TestJournalHeader(t *testing.T) {
	hot := content(t, filepath.Join("..", "..", "testdata", "corrupt", "journal_hot.db-journal"))
	h := (*sqlitefile.JournalHeader)(hot)
	if !sqlitefile.JournalPending(hot[0]) || !h.HasMagic() || !h.SizesAllowed() || h.PageSize() != 1024 || h.InitialPages() == 0 {
		t.Errorf("the journal of a transaction: % x", *h)
	}
	h = &sqlitefile.JournalHeader{}
	copy(h[:], sqlitefile.JournalMagic)
	for i, v := range []uint32{3, 7, 10, 512, 1024} {
		binary.BigEndian.PutUint32(h[8+4*i:], v)
	}
	if !h.HasMagic() || h.InitialPages() != 10 || h.Sector() != 512 || h.PageSize() != 1024 || !h.SizesAllowed() {
		t.Errorf("% x", *h)
	}
	for _, bad := range [][2]uint32{{0, 1024}, {16, 1024}, {1 << 17, 1024}, {512, 100}, {512, 1 << 17}, {100, 512}} {
		binary.BigEndian.PutUint32(h[20:], bad[0])
		binary.BigEndian.PutUint32(h[24:], bad[1])
		if h.SizesAllowed() {
			t.Errorf("sectors of %d and pages of %d bytes are allowed", bad[0], bad[1])
		}
	}
}

// Pointer maps, freelist and page types are where SQLite has them.
func TestAutoVacuumAndFreelist(t *testing.T) {
	for _, size := range []int{512, 4096} {
		script := []string{fmt.Sprintf("PRAGMA page_size=%d", size), "PRAGMA auto_vacuum=incremental", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "CREATE INDEX tv ON t(v)",
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO t SELECT i, hex(randomblob(200)) FROM n", "DELETE FROM t WHERE id%3<2"}
		b := build(t, script...)
		f, h := open(t, b)
		if h.LargestRoot() == 0 || !h.IncrementalVacuum() {
			t.Fatal("no auto_vacuum")
		}
		page, free := make([]byte, f.PageSize), map[uint32]bool{}
		trunk, count := h.Freelist()
		for trunk != 0 {
			if err := f.Page(trunk, page); err != nil {
				t.Fatal(err)
			}
			parsed, err := sqlitefile.ParseTrunk(page, f.Usable)
			if err != nil {
				t.Fatal(err)
			}
			free[trunk] = true
			for _, n := range parsed.Leaves {
				free[n] = true
			}
			trunk = parsed.Next
		}
		if len(free) != int(count) || count == 0 {
			t.Errorf("%d free pages, the header counts %d", len(free), count)
		}
		maps := uint32(0)
		for n := uint32(2); n <= f.Pages; n++ {
			if h.IsPointerMap(n) {
				maps++
				continue
			}
			if err := f.Page(sqlitefile.PointerMapOf(n, f.PageSize, f.Usable), page); err != nil {
				t.Fatal(err)
			}
			p, err := sqlitefile.PointerTo(n, page, f.PageSize, f.Usable)
			if err != nil || (p.Type == sqlitefile.PointerFree) != free[n] || p.Type < sqlitefile.PointerRoot || p.Type > sqlitefile.PointerBTree {
				t.Fatalf("page %d: %+v %v, free %v", n, p, err, free[n])
			}
			if _, err := f.BTree(n, page); (p.Type == sqlitefile.PointerRoot || p.Type == sqlitefile.PointerBTree) && err != nil {
				t.Errorf("page %d: %v", n, err)
			}
		}
		if want := sqlitefile.PointerMapPages(f.Pages, f.PageSize, f.Usable); maps != want {
			t.Errorf("%d pointer map pages, want %d", maps, want)
		}
	}
}

// Near the lock page the pointer map page that would be there comes after it.
func TestPointerMapSkipsTheLockPage(t *testing.T) {
	for size := sqlitefile.MinPageSize; size <= sqlitefile.MaxPageSize; size *= 2 {
		lock := sqlitefile.LockPage(size)
		if int64(lock-1)*int64(size) != sqlitefile.LockByte {
			t.Errorf("lock page of %d bytes: %d", size, lock)
		}
		for usable := size - 255; usable <= size; usable++ {
			if usable < sqlitefile.MinUsable {
				continue
			}
			if sqlitefile.IsPointerMap(lock, size, usable) {
				t.Fatalf("usable %d: the lock page is a pointer map page", usable)
			}
			group := uint32(usable/5 + 1)
			if want := (lock-2)%group == 0; sqlitefile.IsPointerMap(lock+1, size, usable) != want && group > 1 && (lock-1)%group != 0 {
				t.Fatalf("usable %d: page %d", usable, lock+1)
			}
			for _, pages := range []uint32{lock - 1, lock, lock + 1, lock + 2} {
				n := uint32(0)
				for p := pages - group; p <= pages; p++ {
					if sqlitefile.IsPointerMap(p, size, usable) {
						n++
					}
				}
				if got := sqlitefile.PointerMapPages(pages, size, usable) - sqlitefile.PointerMapPages(pages-group-1, size, usable); got != n {
					t.Fatalf("usable %d, %d pages: %d pointer map pages in the last %d, counted %d", usable, pages, n, group+1, got)
				}
			}
		}
	}
}
