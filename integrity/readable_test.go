package integrity

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
)

const manyRows = `CREATE TABLE contacts(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
CREATE TABLE keyed(k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
CREATE TABLE files(name TEXT, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)
INSERT INTO contacts SELECT i, 'name '||i, hex(zeroblob(i%60)) FROM n;
INSERT INTO keyed SELECT name, note FROM contacts;
INSERT INTO files SELECT name, zeroblob(9000) FROM contacts LIMIT 20;`

// pagesOf returns the pages of a table of one type with the number of their cells.
func pagesOf(t *testing.T, path, table, kind string) (pages, cells []int64) {
	t.Helper()
	err := connect(t, path).Each(t.Context(), "SELECT pageno, ncell FROM dbstat WHERE name='"+table+"' AND pagetype='"+kind+"' ORDER BY pageno", func(s *sqlite.Stmt) error {
		pages, cells = append(pages, s.Int(0)), append(cells, s.Int(1))
		return nil
	})
	if err != nil || len(pages) == 0 {
		t.Fatal(len(pages), err)
	}
	return pages, cells
}

func rowsFound(r Report, table string) (f Finding, ok bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code == CodeRowsReadable && f.Table == table })
	if i < 0 {
		return f, false
	}
	return r.Findings[i], true
}

// Lost: hours, with a damaged database whose readable rows are not counted.
func TestSaysHowManyRowsCanBeRead(t *testing.T) {
	whole := makeDB(t, "whole.db", manyRows)
	clean, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	leaves, cells := pagesOf(t, whole, "contacts", "leaf")
	keyed, keyedCells := pagesOf(t, whole, "keyed", "leaf")
	over, _ := pagesOf(t, whole, "files", "overflow")
	zeros, copied := make([]byte, 4096), clean[(leaves[7]-1)*4096:][:4096]
	for name, c := range map[string]struct {
		table string
		pages map[int64][]byte
		want  RowCount
		words string
	}{
		"two pages":         {"contacts", map[int64][]byte{leaves[3]: zeros, leaves[5]: zeros}, RowCount{3000 - cells[3] - cells[5], 0, 2, true}, "of its pages cannot"},
		"a page of others":  {"contacts", map[int64][]byte{leaves[3]: copied}, RowCount{3000 - cells[3], cells[7], 0, true}, "rows cannot"},
		"without rowids":    {"keyed", map[int64][]byte{keyed[2]: zeros}, RowCount{3000 - keyedCells[2], 0, 1, true}, "one of its pages cannot"},
		"an overflow chain": {"files", map[int64][]byte{over[1]: append([]byte{0, 1, 0, 0}, zeros[4:]...)}, RowCount{19, 1, 0, true}, "one row cannot"},
	} {
		t.Run(name, func(t *testing.T) {
			b := slices.Clone(clean)
			for n, page := range c.pages {
				copy(b[(n-1)*4096:], page)
			}
			path := filepath.Join(t.TempDir(), "data.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Check(t.Context(), path, Options{Level: LevelQuick})
			if err != nil || !r.Damaged() {
				t.Fatal(r.Verdict, err)
			}
			f, ok := rowsFound(r, c.table)
			if !ok || *f.Rows != c.want || !strings.Contains(f.Message, c.words) || !strings.Contains(f.Message, "table "+c.table) {
				t.Errorf("%+v %+v, want %+v", f, f.Rows, c.want)
			}
			if r.Findings[0].Code == CodeRowsReadable {
				t.Error("what can be read comes before what is damaged")
			}
		})
	}
}

// Lost: the only number that a person has, where a damaged index is said to cost rows, or is
// taken for proof that there are none gone.
func TestRowsAreNotCountedForAnIndex(t *testing.T) {
	path := makeDB(t, "data.db", manyRows+"CREATE INDEX by_name ON contacts(name)")
	pages, _ := pagesOf(t, path, "by_name", "leaf")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 4096), (pages[2]-1)*4096); err != nil {
		t.Fatal(err)
	}
	r, err := Check(t.Context(), path, Options{Level: LevelQuick})
	if err != nil || !r.Damaged() {
		t.Fatal(r.Verdict, err)
	}
	if f, ok := rowsFound(r, "contacts"); ok {
		t.Error(f)
	}
}

// Lost: the count itself, under a hundred findings of the same damage.
func TestRowsAreCountedUnderManyFindings(t *testing.T) {
	path := makeDB(t, "data.db", manyRows+`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000)
		INSERT INTO contacts SELECT i+5000, 'name '||i, hex(zeroblob(100)) FROM n;`)
	leaves, _ := pagesOf(t, path, "contacts", "leaf")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range leaves[10:300] {
		if _, err := f.WriteAt([]byte{0xff, 0xff, 0xff}, (n-1)*4096); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Check(t.Context(), path, Options{Level: LevelQuick})
	if err != nil {
		t.Fatal(err)
	}
	found, ok := rowsFound(r, "contacts")
	if !ok || found.Rows.UnreadablePages != 290 || len(r.Findings) > MaxFindings+1 {
		t.Errorf("%+v of %d", found, len(r.Findings))
	}
	raw, err := json.Marshal(found)
	if err != nil || !strings.Contains(string(raw), `"rows":{"readable":`) {
		t.Errorf("%s %v", raw, err)
	}
}
