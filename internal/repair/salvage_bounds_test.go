package repair

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"example.com/snapd/internal/sqlitefile"
)

// What a small file claims of its size is not believed: salvage looks at the pages that exist. Lost: minutes, and memory, for each file of a
// few kilobytes that a header, a log, a journal or a hole makes one of millions of pages.
func TestSalvageLooksAtPagesThatExist(t *testing.T) {
	t.Parallel()
	const pageSize, far = 4096, 1<<32 - 3
	path := makeDB(t, "x.db", "PRAGMA page_size=4096; CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO t SELECT i, 'row '||i FROM n")
	main := read(t, path)
	pages := len(main) / pageSize
	claiming := func(at int) []byte { // 4 bytes of the header
		b := slices.Clone(main)
		binary.BigEndian.PutUint32(b[at:], far)
		return b
	}
	leaf := main[pageSize*(pages-1):]
	journal := append(append(binary.BigEndian.AppendUint32(sqlitefile.NewJournalHeader(1, 7, far, pageSize), far), leaf...), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(journal[len(journal)-4:], sqlitefile.JournalChecksum(7, leaf))
	log := logOf(t, pageSize, far, far, leaf)
	sparse := filepath.Join(t.TempDir(), "sparse.db")
	put(t, sparse, main)
	if err := os.Truncate(sparse, pageSize<<24); err != nil {
		t.Fatal(err)
	}
	hole, err := os.Open(sparse)
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	for name, c := range map[string]struct {
		from Damaged
		more int // pages than those of the file
	}{
		"header":       {Damaged{Image: imageFrom(claiming(28))}, 0},
		"largest root": {Damaged{Image: imageFrom(claiming(52))}, 0},
		"free pages":   {Damaged{Image: imageFrom(claiming(36))}, 0},
		"journal":      {Damaged{Image: imageFrom(main), Journal: imageFrom(journal)}, 1},
		"log":          {Damaged{Image: imageFrom(main), Log: sqlitefile.LogFile{R: bytes.NewReader(log), Size: int64(len(log))}}, 1},
		"hole":         {Damaged{Image: Image{R: hole, Size: pageSize << 24}}, stretch},
	} {
		d, err := readDamaged(t.Context(), c.from, nil, t.TempDir())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		looked := 0
		for range d.all() {
			looked++
		}
		if looked < pages || looked > pages+c.more || len(d.owner) > 2 {
			t.Errorf("%s: looks at %d pages, notes %d parts, of a file of %d pages", name, looked, len(d.owner), pages)
		}
		if t.Failed() {
			continue // it would take minutes
		}
		_, to := salvaged(t, c.from, nil)
		wantInt(t, to, "SELECT count(*) FROM t", 200)
	}
}

// logOf is a log that commits one page.
func logOf(t *testing.T, pageSize int, pgno, commit uint32, page []byte) []byte {
	t.Helper()
	path := makeDB(t, "log.db", "PRAGMA page_size=4096; PRAGMA journal_mode=WAL")
	c := connect(t, path)
	if err := c.Exec(t.Context(), "CREATE TABLE x(a)"); err != nil {
		t.Fatal(err)
	}
	log := read(t, path+"-wal")[:sqlitefile.WALHeaderSize+sqlitefile.FrameHeaderSize+pageSize]
	h, frame := sqlitefile.WALHeader(log[:sqlitefile.WALHeaderSize]), log[sqlitefile.WALHeaderSize:]
	binary.BigEndian.PutUint32(frame, pgno)
	binary.BigEndian.PutUint32(frame[4:], commit)
	copy(frame[sqlitefile.FrameHeaderSize:], page)
	sum := h.Sum()
	sum.Add(frame[:8])
	sum.Add(frame[sqlitefile.FrameHeaderSize:])
	b := sum.Bytes()
	copy(frame[16:], b[:])
	return log
}
