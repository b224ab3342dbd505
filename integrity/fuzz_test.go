package integrity

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// seedCorpus gives f the start of every fixture and the whole of its log.
func seedCorpus(f *testing.F, add func(db, wal []byte)) {
	all, err := filepath.Glob(filepath.Join(corpus, "*.db"))
	if err != nil || len(all) == 0 {
		f.Fatal("no fixtures")
	}
	for _, name := range all {
		db, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		wal, err := os.ReadFile(name + "-wal")
		if err != nil && !os.IsNotExist(err) {
			f.Fatal(err)
		}
		add(db, wal)
	}
}

// With any first bytes, judging them neither fails nor calls a file
// without SQLite's magic a database.
func FuzzHeader(f *testing.F) {
	seedCorpus(f, func(db, _ []byte) { f.Add(db[:min(len(db), sqlitefile.HeaderSize)], int64(len(db))) })
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		head = head[:min(len(head), sqlitefile.HeaderSize)]
		if size < int64(len(head)) || len(head) < sqlitefile.HeaderSize {
			size = int64(len(head))
		}
		page1 := bytes.NewReader(append(bytes.Clone(head), append([]byte{byte(sqlitefile.TableLeaf)}, make([]byte, 65536)...)...))
		tl := &results{}
		if err := (&files{main: page1, size: size}).judge(t.Context(), tl); err != nil {
			t.Fatal(err)
		}
		rep := tl.report("", LevelHeader, failedHeader(tl), time.Now())
		isDB := bytes.HasPrefix(head, []byte(sqlitefile.Magic)) || len(head) < sqlitefile.HeaderSize && bytes.HasPrefix([]byte(sqlitefile.Magic), head[:min(len(head), 16)])
		if isDB == (rep.Verdict == NotADatabase) && size > 0 {
			t.Fatalf("%q: %+v", head, rep)
		}
	})
}

// The walk over a log's checksums finds the same last commit as SQLite does.
func FuzzWAL(f *testing.F) {
	seedCorpus(f, func(db, wal []byte) {
		if len(wal) > 0 {
			f.Add(db, wal)
		}
	})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, db, wal []byte) {
		if len(db) > 1<<17 || len(wal) > 1<<17 {
			return
		}
		h := header{}
		copy(h.Header[:], db)
		w, err := readLog(t.Context(), logFile(bytes.NewReader(wal), int64(len(wal))), h.PageSize())
		if err != nil {
			t.Fatal(err)
		}
		if w.CommitFrame > w.Frames || w.CommitFrame < 0 || w.CommitFrame > 0 && int64(len(w.Committed)) != w.CommitFrame {
			t.Fatalf("%+v", w)
		}
		if err := (&files{main: bytes.NewReader(db), size: int64(len(db)), wal: bytes.NewReader(wal), walSize: int64(len(wal))}).judge(t.Context(), &results{}); err != nil {
			t.Fatal(err)
		}
		if !h.HasMagic() || h.PageSize() == 0 {
			return
		}
		if pages, ok := sqlitePages(t, dir, db, wal); ok && w.CommitFrame > 0 && pages != int64(w.Pages) {
			t.Fatalf("SQLite sees %d pages, the walk %d", pages, w.Pages)
		}
	})
}

// sqlitePages asks SQLite for the size of the image, in pages.
func sqlitePages(t *testing.T, dir string, db, wal []byte) (int64, bool) {
	path := filepath.Join(dir, "f.db")
	for suffix, b := range map[string][]byte{"": db, "-wal": wal} {
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Remove(path + "-shm")
	c, err := sqlite.Open(path, sqlite.Options{Untrusted: true})
	if err != nil {
		return 0, false
	}
	defer c.Close()
	if _, err := c.Int(t.Context(), "SELECT count(*) FROM sqlite_schema"); err != nil {
		return 0, false
	}
	pages, err := c.Int(t.Context(), "PRAGMA page_count")
	return pages, err == nil
}
