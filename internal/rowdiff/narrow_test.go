package rowdiff

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"example.com/snapd/internal/archive"
)

// imageOf is the archive of a database file.
func imageOf(t testing.TB, path string) *archive.Reader {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	if len(data) > 0 {
		if size = int(data[16])<<8 | int(data[17]); size == 1 {
			size = 65536
		}
	}
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.WriterOptions{PageSize: size, Seed: 7, FrameBytes: 64 << 10})
	if err == nil {
		defer w.Abort()
		if _, err = w.Write(data); err == nil {
			_, err = w.Finish(archive.Facts{})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := archive.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// narrowed is diffOf, with the pages compared.
func narrowed(t testing.TB, a, b string) *Diff {
	t.Helper()
	d := diffOf(t, a, b)
	pages, err := ComparePages(t.Context(), imageOf(t, a), imageOf(t, b))
	if err == nil {
		err = d.Narrow(t.Context(), pages)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// listOf is all that a comparison says.
func listOf(t *testing.T, d *Diff) (list []string) {
	t.Helper()
	r, err := d.Compare(t.Context(), Options{Each: func(table string, c Change) error {
		list = append(list, fmt.Sprint(table, " ", c))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Tables {
		list = append(list, fmt.Sprintf("%+v", c.TableCounts))
	}
	return list
}

// TestOverflowPages changes pages of which no page of a tree says so.
func TestOverflowPages(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "WITHOUT ROWID"} {
		for _, vacuum := range []string{"none", "full"} {
			t.Run(kind+vacuum, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				a, b := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
				s := newState(t, b, rand.New(rand.NewPCG(1, 1)))
				s.exec("PRAGMA page_size=1024")
				s.exec("PRAGMA auto_vacuum=" + vacuum)
				for _, name := range s.tables {
					s.may("DROP TABLE " + name)
				}
				s.exec("VACUUM")
				s.exec("CREATE TABLE large(id INTEGER PRIMARY KEY, data BLOB) " + kind)
				s.exec("CREATE TABLE other(id INTEGER PRIMARY KEY, data TEXT)")
				s.exec("CREATE INDEX by_data ON other(data)")
				s.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO large SELECT i, zeroblob(20000) FROM n")
				s.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<50) INSERT INTO other SELECT i, hex(zeroblob(i*30)) FROM n")
				copyFile(t, b, a)
				s.exec("UPDATE large SET data=substr(data,1,15000)||x'01'||substr(data,15002) WHERE id=77")
				s.exec("UPDATE other SET data=data||'x' WHERE id IN (3, 44)")
				if err := s.db.Close(); err != nil {
					t.Fatal(err)
				}
				d := narrowed(t, a, b)
				got, want := listOf(t, d), listOf(t, diffOf(t, a, b))
				if !slices.Equal(got, want) || len(got) != 5 {
					t.Errorf("%d lines, want %d", len(got), len(want))
				}
				p, err := d.pair("large")
				if err != nil {
					t.Fatal(err)
				}
				if kind == "" && !slices.Equal(p.ranges, []Range{{77, 77}}) {
					t.Errorf("rowids %v are read for one row that changed on an overflow page", p.ranges)
				}
			})
		}
	}
}
