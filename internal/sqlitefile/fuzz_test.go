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
