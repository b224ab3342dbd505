package sqlitefile_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"example.com/snapd/internal/sqlitefile"
)

// build makes a database with SQLite itself and returns its bytes.
func build(t testing.TB, statements ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db := openDB(t, path)
	run(t, db, statements...)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return content(t, path)
}

func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1) // pragmas are the connection's
	return db
}

func run(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func content(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open returns the bytes as a file and its header.
func open(t testing.TB, b []byte) (*sqlitefile.File, *sqlitefile.Header) {
	t.Helper()
	h := sqlitefile.HeaderOf(b)
	if h == nil || !h.HasMagic() || h.PageSize() == 0 {
		t.Fatalf("no database: % x", b[:min(len(b), 100)])
	}
	return fileOf(b, h), h
}

func fileOf(b []byte, h *sqlitefile.Header) *sqlitefile.File {
	return &sqlitefile.File{R: bytes.NewReader(b), PageSize: h.PageSize(), Usable: h.Usable(), Pages: uint32(len(b) / h.PageSize())}
}

// tableRows walks a table's tree and returns its rows as text.
func tableRows(t *testing.T, f *sqlitefile.File, root uint32) (rows []string) {
	t.Helper()
	p, err := f.BTree(root, make([]byte, f.PageSize))
	if err != nil {
		t.Fatal(err)
	}
	if p.Type() == sqlitefile.TableInterior {
		for i := range p.Cells() {
			c, err := p.Cell(i)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, tableRows(t, f, c.Child)...)
		}
		return append(rows, tableRows(t, f, p.RightChild())...)
	}
	for row, err := range f.Rows(p, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(row.ID)
		for i := range row.Record.Columns() {
			v, err := row.Record.Value(i)
			if err != nil {
				t.Fatal(err)
			}
			text += "|" + show(v)
		}
		rows = append(rows, text)
	}
	return rows
}

// show is a value as quote() has it.
func show(v sqlitefile.Value) string {
	switch v.Kind {
	case sqlitefile.Integer:
		return fmt.Sprint(v.Int)
	case sqlitefile.Real:
		return fmt.Sprintf("%g", v.Float)
	case sqlitefile.Text:
		return "'" + string(v.Bytes) + "'"
	case sqlitefile.Blob:
		return fmt.Sprintf("X'%X'", v.Bytes)
	}
	return "NULL"
}

// The rows that SQLite stores are read back: every width of integer, floats, texts and
// blobs of lengths around those at which a payload leaves its page, and page sizes with and
// without reserved bytes. Lost otherwise: rows that a salvage could have had.
func TestRowsAreWhatSQLiteStored(t *testing.T) {
	for _, size := range []int{512, 1024, 4096, 65536} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			script := []string{fmt.Sprintf("PRAGMA page_size=%d", size), "CREATE TABLE t(id INTEGER PRIMARY KEY, v, w)"}
			var want []string
			row := func(id int64, v, w string) {
				script = append(script, fmt.Sprintf("INSERT INTO t VALUES(%d, %s, %s)", id, v, w))
				want = append(want, fmt.Sprintf("%d|NULL|%s|%s", id, v, w)) // the rowid's own column is NULL
			}
			for i, v := range []string{"NULL", "0", "1", "-1", "127", "-128", "128", "32767", "-32769", "8388607", "8388608", "2147483648", "-2147483649",
				"140737488355327", "140737488355328", "-9223372036854775807", "1.5", "-2.25e+100", "''", "'ä'", "X'00FF'", "X''"} {
				row(int64(i)-5, v, fmt.Sprint(i))
			}
			n := int64(1000)
			for _, length := range []int{size - 40, size - 37, size - 36, size - 35, size - 34, size, 2*size - 8, 3 * size, 70000} {
				for d := range 3 {
					row(n, "'"+strings.Repeat("x", length+d)+"'", "X'01'")
					n++
				}
			}
			b := build(t, script...)
			f, h := open(t, b)
			if pages, ok := h.PageCount(); !ok || pages != f.Pages {
				t.Errorf("the header counts %d pages of %d", pages, f.Pages)
			}
			schema := tableRows(t, f, 1)
			if len(schema) != 1 || !strings.HasPrefix(schema[0], "1|'table'|'t'|'t'|2|'CREATE TABLE t") {
				t.Fatalf("schema: %q", schema)
			}
			got := tableRows(t, f, 2)
			if len(got) != len(want) {
				t.Fatalf("%d rows, want %d", len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("row %d: %.80s, want %.80s", i, got[i], want[i])
				}
			}
		})
	}
}
