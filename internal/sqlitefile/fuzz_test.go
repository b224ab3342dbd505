package sqlitefile_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlitefile"
)

// corrupt adds the corruption fixtures whose names match to the corpus.
func corrupt(f *testing.F, pattern string, most int) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "testdata", "corrupt", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("no fixture %s: %v", pattern, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) <= most {
			f.Add(b)
		}
	}
}

// FuzzDatabase reads everything of a database that it says to have, each page as every
// kind of page: nothing panics, and nothing is larger than the file allows.
func FuzzDatabase(f *testing.F) {
	corrupt(f, "*.db", 64<<10)
	f.Fuzz(func(t *testing.T, b []byte) {
		h := sqlitefile.HeaderOf(b)
		if h == nil || h.PageSize() == 0 || h.Usable() < sqlitefile.MinUsable {
			return
		}
		file := fileOf(b, h)
		page := make([]byte, file.PageSize)
		for n := uint32(1); n <= file.Pages; n++ {
			if err := file.Page(n, page); err != nil {
				t.Fatal(err)
			}
			if trunk, _ := sqlitefile.ParseTrunk(page, file.Usable); len(trunk.Leaves) > file.Usable/4 {
				t.Errorf("%d leaves on page %d", len(trunk.Leaves), n)
			}
			if at := sqlitefile.PointerMapOf(n, file.PageSize, file.Usable); at != 0 && at < n {
				if _, err := sqlitefile.PointerTo(n, page, file.PageSize, file.Usable); err != nil {
					t.Error(err)
				}
			}
			readAsTree(t, file, n, page)
		}
	})
}

func readAsTree(t *testing.T, f *sqlitefile.File, n uint32, page []byte) {
	at := 0
	if n == 1 {
		at = sqlitefile.HeaderSize
	}
	for _, kind := range []sqlitefile.PageType{sqlitefile.PageType(page[at]), sqlitefile.TableLeaf, sqlitefile.TableInterior, sqlitefile.IndexLeaf, sqlitefile.IndexInterior} {
		page[at] = byte(kind)
		p, err := sqlitefile.ParsePage(page, n, f.Usable)
		if err != nil {
			continue
		}
		for row, err := range f.Rows(p, 1<<20) {
			for i := range row.Record.Columns() {
				if _, verr := row.Record.Value(i); verr != nil && err == nil {
					t.Error(verr)
				}
			}
		}
		for i := range p.Cells() {
			c, err := p.Cell(i)
			if payload, perr := f.Payload(c, 1<<20); err == nil && perr == nil && int64(len(payload)) != c.Size {
				t.Errorf("payload of %d bytes, stated %d", len(payload), c.Size)
			}
		}
	}
}

// FuzzHeads parses anything as each of the headers.
func FuzzHeads(f *testing.F) {
	corrupt(f, "header_*.db", 64<<10)
	corrupt(f, "*-journal", 64<<10)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h := sqlitefile.HeaderOf(b); h != nil {
			if size := h.PageSize(); size != 0 && (size < sqlitefile.MinPageSize || size > sqlitefile.MaxPageSize || h.Usable() > size) {
				t.Errorf("page size %d, usable %d", size, h.Usable())
			}
			h.IsPointerMap(h.LargestRoot())
			_ = h.Encoding().String()
		}
		if len(b) >= sqlitefile.JournalHeaderSize {
			if h := (*sqlitefile.JournalHeader)(b); h.SizesAllowed() && h.Sector() == 0 {
				t.Error("sectors of 0 bytes")
			}
		}
		if x, torn, ok := sqlitefile.ParseWALIndex(b); ok && (torn || x.LastFrame < 0 || x.Copied < 0) {
			t.Errorf("%+v", x)
		}
		if v, n := sqlitefile.Varint(b); n > 9 || n == 0 && v != 0 {
			t.Errorf("varint %d of %d bytes", v, n)
		}
		if r, err := sqlitefile.ParseRecord(b); err == nil && (r.Columns() > sqlitefile.MaxColumns || r.Size() < int64(r.Columns())) {
			t.Errorf("record of %d columns, %d bytes", r.Columns(), r.Size())
		}
	})
}
