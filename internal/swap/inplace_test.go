package swap

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"example.com/snapd/internal/sqlitefile"
)

// zeros is a database that is as large as one likes.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// records counts those of a journal, by the numbers of their pages.
type records struct {
	header []byte
	size   int
	pages  map[uint32]bool
}

func (r *records) Write(p []byte) (int, error) {
	if r.header == nil {
		r.header = bytes.Clone(p)
		return len(p), nil
	}
	r.size = len(p)
	r.pages[binary.BigEndian.Uint32(p)] = true
	return len(p), nil
}

// Lost: all of a large database beyond 1 GiB, at a rollback: SQLite takes a record of the page
// that the locks are on for the journal's end.
func TestJournalOfALargeDatabase(t *testing.T) {
	const page = 4096
	size := int64(sqlitefile.LockByte + 3*page)
	r := &records{pages: map[uint32]bool{}}
	if err := writeJournal(t.Context(), r, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	if n := binary.BigEndian.Uint32(r.header[8:]); int(n) != len(r.pages) {
		t.Errorf("the header counts %d records of %d", n, len(r.pages))
	}
	lock := sqlitefile.LockPage(page)
	if r.pages[lock] || !r.pages[lock-1] || !r.pages[lock+1] || len(r.pages) != int(size/page)-1 || r.size != page+8 {
		t.Errorf("%d records of %d bytes; of the lock page: %v", len(r.pages), r.size, r.pages[lock])
	}
}

// A journal that is rolled back gives any file back to the byte, of any size.
func TestJournalHoldsThePartialPage(t *testing.T) {
	db := bytes.Repeat([]byte("not a database, "), 300) // a page and a part of one
	var j bytes.Buffer
	if err := writeJournal(t.Context(), &j, bytes.NewReader(db), int64(len(db))); err != nil {
		t.Fatal(err)
	}
	var h sqlitefile.JournalHeader
	if _, err := io.ReadFull(bytes.NewReader(j.Bytes()), h[:]); err != nil || !h.HasMagic() || !h.SizesAllowed() || h.InitialPages() != 2 {
		t.Fatalf("header %x, %v", h, err)
	}
	var got []byte
	for rest := j.Bytes()[h.Sector():]; len(rest) > 0; rest = rest[8+h.PageSize():] {
		data := rest[4 : 4+h.PageSize()]
		sum := binary.BigEndian.Uint32(rest[4+h.PageSize():])
		if nonce := binary.BigEndian.Uint32(h[12:]); sum != sqlitefile.JournalChecksum(nonce, data) {
			t.Error("a record with a wrong checksum")
		}
		got = append(got, data...)
	}
	if !bytes.Equal(got[:len(db)], db) {
		t.Error("the journal holds something else")
	}
}
