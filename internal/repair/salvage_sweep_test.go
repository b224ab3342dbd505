package repair

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

// Each page is zeroed in turn. Every row that was not on it is still in its table, exactly; rows with
// a part on it are there cut short, or not.
func TestSalvageEachPageZeroed(t *testing.T) {
	t.Parallel()
	for _, pragma := range []string{"", "PRAGMA auto_vacuum=1;", "PRAGMA encoding='UTF-16le';"} {
		path := makeDB(t, "x.db", fmt.Sprintf(varied, pragma))
		sound := read(t, path)
		donor := imageFrom(sound)
		all := contents(t, path)
		on, ends := rowsByPage(t, sound)
		pages := len(sound) / 512
		if pages < 100 {
			t.Fatalf("%d pages", pages)
		}
		for n := 1; n <= pages; n += testdb.Sampled(3) {
			b := slices.Clone(sound)
			clear(b[(n-1)*512 : n*512])
			said, to := salvaged(t, Damaged{Image: imageFrom(b)}, &donor)
			got := contents(t, to)
			missing := 0
			for _, row := range all {
				if _, found := slices.BinarySearch(got, row); !found {
					missing++
				}
			}
			if missing > on[uint32(n)] {
				t.Errorf("%s page %d zeroed: %d rows are gone, %d were on it: %+v", pragma, n, missing, on[uint32(n)], said)
			}
			// The last page of a chain may as well hold zeros.
			if missing > 0 && said.Complete && !ends[uint32(n)] {
				t.Errorf("%s page %d zeroed: complete, and %d rows are gone", pragma, n, missing)
			}
		}
	}
}

// rowsByPage counts the rows that have something on each page of a sound database, and has the
// pages with which a chain of overflow pages ends.
func rowsByPage(t testing.TB, sound []byte) (on map[uint32]int, ends map[uint32]bool) {
	t.Helper()
	d, err := readDamaged(t.Context(), Damaged{Image: imageFrom(sound)}, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	on, ends = map[uint32]int{}, map[uint32]bool{}
	for _, tr := range d.trees[1:] {
		if tr.kind != "table" || !slices.Contains(variedTables, tr.name) {
			continue
		}
		err := d.pagesOf(t.Context(), tr, func(n uint32, page sqlitefile.Page) error {
			for i := range page.Cells() {
				cell, err := page.Cell(i)
				if err != nil {
					return err
				}
				on[n]++
				for o, err := range d.Overflow(cell.Overflow, 1000) {
					if err != nil {
						return err
					}
					on[o.N]++
					ends[o.N] = o.Next == 0
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return on, ends
}

// Pages are damaged in other ways, and there is no backup. What was not on the page is in its table, or lost
// and found; rows that never were come from a page that is a copy of another one, and never from more.
func TestSalvageEachPageDamaged(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", fmt.Sprintf(varied, ""))
	sound := read(t, path)
	all := contents(t, path)
	on, _ := rowsByPage(t, sound)
	const size = 512
	pages := len(sound) / size
	r := rand.New(rand.NewPCG(1, 2))
	for n := 2; n <= pages; n += testdb.Sampled(3) {
		kind := []string{"zero", "random", "copy", "flip", "torn"}[n%5]
		b := slices.Clone(sound)
		page, other := b[(n-1)*size:n*size], sound[r.IntN(pages)*size:]
		switch kind {
		case "zero":
			clear(page)
		case "random":
			for i := range page {
				page[i] = byte(r.Uint32())
			}
		case "copy":
			copy(page, other)
		case "flip":
			page[r.IntN(size)] ^= 1 << r.IntN(8)
		case "torn":
			copy(page[:size/2], other)
		}
		said, to := salvaged(t, Damaged{Image: imageFrom(b)}, nil)
		if said.SchemaDamaged {
			continue // its tables are not there to be read
		}
		got := contents(t, to)
		missing, never := 0, 0
		for _, row := range all {
			if _, found := slices.BinarySearch(got, row); !found {
				missing++
			}
		}
		for _, row := range got {
			if _, found := slices.BinarySearch(all, row); !found {
				never++
			}
		}
		if missing > on[uint32(n)]+int(said.LostAndFound) {
			t.Errorf("page %d, %s: %d rows are gone, %d were on it: %+v", n, kind, missing, on[uint32(n)], said)
		}
		if never > on[uint32(n)] && kind != "copy" && kind != "torn" {
			t.Errorf("page %d, %s: %d rows never were, %d were on it: %+v", n, kind, never, on[uint32(n)], said)
		}
	}
}

// Pages of two indexes are gone, and so is the way to others of them. Lost and found is what only they know of
// rows that are gone, once for each row, and nothing of rows that are there.
func TestSalvageIndexesThatLostPages(t *testing.T) {
	path := makeDB(t, "x.db", `PRAGMA page_size=512; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INT); CREATE INDEX ta ON t(a); CREATE INDEX tb ON t(b);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO t SELECT i, 'name of '||i, i*7 FROM n`)
	b := read(t, path)
	for _, name := range []string{"ta", "tb"} {
		root := int(asInt(t, path, "SELECT rootpage FROM sqlite_schema WHERE name='"+name+"'"))
		clear(b[(root-1)*512 : root*512])
	}
	leaf := int(asInt(t, path, "SELECT max(pageno) FROM dbstat WHERE name='t' AND pagetype='leaf'"))
	clear(b[(leaf-1)*512 : leaf*512])
	said, to := salvaged(t, Damaged{Image: imageFrom(b)}, nil)
	gone := 3000 - said.Tables[0].Rows
	if gone == 0 || gone > 50 || said.LostAndFound > gone || said.LostAndFound < gone-10 {
		t.Errorf("%+v", said)
	}
	wantInt(t, to, "SELECT count(*) FROM lost_and_found WHERE table_name IS NULL", 0)
}

func asInt(t testing.TB, path, query string) int64 {
	t.Helper()
	c := connect(t, path)
	defer c.Close()
	n, err := c.Int(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
