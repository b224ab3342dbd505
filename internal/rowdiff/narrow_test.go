package rowdiff

import (
	"bytes"
	"context"
	"fmt"
	"iter"
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
				s.exec("UPDATE large SET data=CAST(substr(data,1,15000)||x'01'||substr(data,15002) AS BLOB) WHERE id=77")
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

// asking counts the pages that are asked for.
type asking struct {
	archive.Image
	pages map[int64]bool
}

func (a asking) ReadAt(p []byte, off int64) (int, error) {
	a.pages[off/int64(a.Shape().PageSize)+1] = true
	return a.Image.ReadAt(p, off)
}

func (a asking) ReadPages(ctx context.Context, want iter.Seq2[int64, error], o archive.CopyOptions, fn func(int64, []byte) error) error {
	return a.Image.ReadPages(ctx, want, o, func(n int64, page []byte) error {
		a.pages[n] = true
		return fn(n, page)
	})
}

// TestFewPagesAreRead changes a few rows of a large table, and adds a column to it.
func TestFewPagesAreRead(t *testing.T) {
	t.Parallel()
	for _, alter := range []string{"", "ALTER TABLE wide ADD COLUMN more TEXT DEFAULT 'none'"} {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
		s := newState(t, b, rand.New(rand.NewPCG(2, 2)))
		s.exec("CREATE TABLE wide(id INTEGER PRIMARY KEY, name TEXT, data TEXT)")
		s.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO wide SELECT i*3, 'name '||i, hex(zeroblob(100)) FROM n")
		s.exec("CREATE INDEX by_name ON wide(name)")
		copyFile(t, b, a)
		if alter != "" {
			s.exec(alter)
		}
		s.exec("UPDATE wide SET name='other' WHERE id IN (3, 30000)")
		s.exec("DELETE FROM wide WHERE id=45000")
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
		d := diffOf(t, a, b)
		x, y := asking{imageOf(t, a), map[int64]bool{}}, asking{imageOf(t, b), map[int64]bool{}}
		pages, err := ComparePages(t.Context(), x, y)
		if err == nil {
			err = d.Narrow(t.Context(), pages)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Count(t.Context(), "wide")
		if want := (TableCounts{Name: "wide", Removed: 1, Changed: 2, ComparedBy: ByKey}); got != want || err != nil {
			t.Errorf("%s: %+v, %v", alter, got, err)
		}
		p, err := d.pair("wide")
		if err != nil {
			t.Fatal(err)
		}
		rowids := int64(0)
		for _, r := range p.ranges {
			rowids += min(r.To, 60_000) - max(r.From, 0)
		}
		if total := x.Shape().PageCount + y.Shape().PageCount; len(x.pages)+len(y.pages) > int(total/20) || rowids > 1500 {
			t.Errorf("%s: %d pages of %d, and %d rowids of 60,000 are read for three rows", alter, len(x.pages)+len(y.pages), total, rowids)
		}
	}
}
