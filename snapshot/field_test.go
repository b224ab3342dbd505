package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/snapshot"
)

// field are shapes of damage that people met. Each was answered by an old backup, although every row
// could be read; the first by a repair that destroyed the last trace of 40 rows.
var field = []struct {
	name string
	rows int64 // that are left
	// alone is what a recovery without any backup does: the rows that it leaves, and a part of
	// what it says; -1 where nothing can be done.
	alone int64
	says  string
}{
	{"emptytable", 40, 0, "40 rows of visits are gone"},                                // its only page is an older, empty copy of itself
	{"index_row_missing", 753, 753, "without losing a row"},                            // a page of an index, in a line that names no tree
	{"index_root_is_table_page", 40, 40, "without losing a row"},                       // a misplaced write
	{"encoding_flag", 453, 453, "no row was lost"},                                     // UTF-16 says the header, UTF-8 everything else
	{"header16_zero", 453, 453, "no row was lost"},                                     // the magic string
	{"hermes_page1_zero", 453, -1, ""},                                                 // page 1, and nothing else
	{"dup_index_schema", 453, 453, "without losing a row"},                             // a row of the schema twice
	{"view_sql_bad", 453, 453, "removed: view v_items"},                                // a word of a view's SQL
	{"stat1_page_bad", 453, 453, "filled again: sqlite_stat1"},                         // what ANALYZE derives
	{"fts5_contentless_bad", 453, 453, "have to be filled again: cfts"},                // words that are nowhere else
	{"orphan_pages", 453, 453, "what can be derived from the tables was rebuilt with"}, // pages without cells
}

// Lost: rows that a person with the sqlite3 shell could have saved.
func TestRecoverFieldDamage(t *testing.T) {
	t.Parallel()
	for _, c := range field {
		damaged := readFile(t, filepath.Join("../testdata/field", c.name+".db"))
		old, err := os.ReadFile(filepath.Join("../testdata/field", c.name+".old.db"))
		if errors.Is(err, os.ErrNotExist) {
			old, err = os.ReadFile("../testdata/field/old.db")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Run(c.name+"/old backup", func(t *testing.T) {
			t.Parallel()
			b := fieldBench(t, old)
			b.auto()
			writeFile(t, b.m.Database(), damaged)
			plan := b.plan()
			rec, err := b.m.Recover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := ordinaryRows(t, b.m.Database()); got != c.rows {
				t.Errorf("%d rows are left, want %d: %s", got, c.rows, rec.Reason)
			}
			if rec.Action != plan.Action || len(plan.Options) != 2 || plan.Options[1].RowsLost == nil {
				t.Errorf("did %s, planned %+v", rec.Action, plan)
			}
			if n := plan.Options[0].RowsLost; n != nil && *n != 0 || (n == nil) != (rec.Repair != nil && len(rec.Repair.Unproven) > 0) {
				t.Errorf("%v rows lost, not known of %v", n, rec.Repair)
			}
			if c.name == "view_sql_bad" {
				b.want("SELECT count(*) FROM v_items LIMIT 1")
			}
		})
		t.Run(c.name+"/no backup", func(t *testing.T) {
			t.Parallel()
			b := fieldBench(t, damaged)
			rec, err := b.m.Recover(t.Context())
			if c.alone < 0 {
				if !errors.Is(err, snapshot.ErrNoUsableBackup) {
					t.Errorf("%+v, %v", rec, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := ordinaryRows(t, b.m.Database()); got != c.alone || !strings.Contains(rec.Repair.Summary(), c.says) {
				t.Errorf("%d rows are left, want %d; it says %q", got, c.alone, rec.Repair.Summary())
			}
		})
	}
}

// fieldBench opens a Manager on a database with this content.
func fieldBench(t *testing.T, content []byte) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	writeFile(t, path, content)
	return benchOn(t, path)
}

// want fails the test unless the query can be made.
func (b *bench) want(query string) {
	b.t.Helper()
	c, err := sqlite.Open(b.m.Database(), sqlite.Options{ReadOnly: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Int(b.t.Context(), query); err != nil {
		b.t.Error(err)
	}
}

// ordinaryRows counts the rows of all tables of a sound database, but for what SQLite derives.
func ordinaryRows(t *testing.T, path string) (n int64) {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if verdict, err := c.Text(t.Context(), "PRAGMA integrity_check"); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s, %v", verdict, err)
	}
	var names []string
	err = c.Each(t.Context(), "SELECT l.name FROM pragma_table_list l WHERE l.schema='main' AND l.type='table' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'", func(st *sqlite.Stmt) error {
		names = append(names, st.Text(0))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		rows, err := c.Int(t.Context(), "SELECT count(*) FROM "+sqlite.QuoteName(name)+" NOT INDEXED")
		if err != nil {
			t.Fatal(err)
		}
		n += rows
	}
	return n
}
