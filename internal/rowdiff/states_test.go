package rowdiff

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// states makes pairs of random states of a database: a second one comes from the first by random changes.
type states struct {
	testing.TB
	rng    *rand.Rand
	db     *sql.DB
	utf16  bool
	tables []string // that there are
	made   int
}

// kinds are the ways in which a table is declared; %[1]s is its name. Each has the columns a, b and c.
var kinds = []string{
	"CREATE TABLE %[1]s(a INTEGER PRIMARY KEY, b TEXT, c)",
	"CREATE TABLE %[1]s(a INTEGER PRIMARY KEY AUTOINCREMENT, b REAL, c BLOB)",
	"CREATE TABLE %[1]s(a TEXT PRIMARY KEY, b, c NUMERIC)",
	"CREATE TABLE %[1]s(a TEXT COLLATE NOCASE PRIMARY KEY, b, c)",
	"CREATE TABLE %[1]s(a PRIMARY KEY, b TEXT, c)",
	"CREATE TABLE %[1]s(b TEXT, a TEXT COLLATE RTRIM, c, PRIMARY KEY(a, b))",
	"CREATE TABLE %[1]s(a TEXT, b INTEGER, c)",
	"CREATE TABLE %[1]s(a, b, c, UNIQUE(c))",
	"CREATE TABLE %[1]s(a TEXT PRIMARY KEY, b, c) WITHOUT ROWID",
	"CREATE TABLE %[1]s(c, a COLLATE NOCASE, b REAL, PRIMARY KEY(a DESC, c)) WITHOUT ROWID",
	"CREATE TABLE %[1]s(a INTEGER PRIMARY KEY, b TEXT, c BLOB) WITHOUT ROWID",
	"CREATE TABLE %[1]s(a INTEGER PRIMARY KEY, b TEXT UNIQUE, c, d AS (length(c)), e AS (coalesce(b,'')||a) STORED)",
	"CREATE TABLE %[1]s(a ANY PRIMARY KEY, b INTEGER, c ANY) STRICT, WITHOUT ROWID",
	"CREATE TABLE %[1]s(rowid TEXT, a, b, c)",
	"CREATE VIRTUAL TABLE %[1]s USING fts5(a, b, c)",
	"CREATE VIRTUAL TABLE %[1]s USING rtree(a, b, c)",
}

// newState makes a random first state at path.
func newState(t testing.TB, path string, rng *rand.Rand) *states {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(0)&_pragma=synchronous(0)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	s := &states{TB: t, rng: rng, db: db}
	s.exec(fmt.Sprintf("PRAGMA page_size=%d", []int{512, 1024, 4096}[rng.IntN(3)]))
	s.exec(fmt.Sprintf("PRAGMA auto_vacuum=%d", max(0, rng.IntN(5)-2)))
	if rng.IntN(5) == 0 {
		s.utf16 = true
		s.exec("PRAGMA encoding='UTF-16" + []string{"le", "be"}[rng.IntN(2)] + "'")
	}
	for range 1 + rng.IntN(4) {
		s.create()
	}
	return s
}

func (s *states) exec(query string) {
	s.Helper()
	if _, err := s.db.Exec(query); err != nil {
		s.Fatalf("%s: %v", query, err)
	}
}

// may runs a statement that is allowed to fail.
func (s *states) may(query string) bool {
	_, err := s.db.Exec(query)
	return err == nil
}

func (s *states) create() {
	s.made++
	name := fmt.Sprintf("t%d", s.made)
	if s.rng.IntN(6) == 0 {
		name = fmt.Sprintf("\"T %d's\"", s.made)
	}
	s.exec(fmt.Sprintf(kinds[s.rng.IntN(len(kinds))], name))
	s.tables = append(s.tables, name)
	s.insert(name, []int{0, 3, 30, 200}[s.rng.IntN(4)])
	switch s.rng.IntN(8) {
	case 0:
		s.may(fmt.Sprintf("CREATE INDEX \"i%d\" ON %s(c)", s.made, name))
	case 1:
		s.may(fmt.Sprintf("CREATE TRIGGER tr%d AFTER INSERT ON %s BEGIN DELETE FROM %s; END", s.made, name, s.any()))
	case 2:
		s.may(fmt.Sprintf("CREATE VIEW v%d AS SELECT a FROM %s", s.made, name))
	}
}

func (s *states) any() string { return s.tables[s.rng.IntN(len(s.tables))] }

// insert inserts rows; those that a constraint forbids are left out.
func (s *states) insert(table string, n int) {
	s.exec("BEGIN")
	for range n {
		key := s.key()
		if s.rng.IntN(2) == 0 {
			key = "(SELECT coalesce(max(CASE WHEN typeof(a)='integer' THEN a END),0)+1 FROM " + table + ")"
		}
		s.may(fmt.Sprintf("INSERT INTO %s(a,b,c) VALUES(%s,%s,%s)", table, key, s.value(), s.value()))
	}
	s.exec("COMMIT")
}

// key is a value out of few, so that keys meet.
func (s *states) key() string {
	switch s.rng.IntN(6) {
	case 0:
		return fmt.Sprintf("%d.0", s.rng.IntN(50))
	case 1, 2:
		return fmt.Sprint(s.rng.IntN(1000))
	case 3:
		return "NULL"
	}
	words := []string{"Berg", "berg", "BERG ", "Straße", "straße", "", "ä", "Z", "a"}
	return fmt.Sprintf("'%s%d'", words[s.rng.IntN(len(words))], s.rng.IntN(20))
}

func (s *states) value() string {
	switch s.rng.IntN(14) {
	case 0:
		return "NULL"
	case 1:
		return []string{"9223372036854775807", "(-9223372036854775807-1)", "9007199254740993", "-1", "0", "-0.0", "9e999", "-9e999", "1.0", "0.1", "1e23", "5e-324"}[s.rng.IntN(12)]
	case 2:
		return fmt.Sprint(s.rng.NormFloat64() * 1e6)
	case 3:
		return s.blob(s.rng.IntN(40))
	case 4:
		return fmt.Sprintf("zeroblob(%d)||x'%02x'", s.rng.IntN(9000), s.rng.IntN(256)) // text with zero bytes
	case 5:
		return fmt.Sprintf("hex(%s)", s.blob(s.rng.IntN(6000)))
	case 6:
		return "'it''s '||char(10)||'a line'||char(13)||char(10)||char(0)||'z'"
	case 7:
		if s.utf16 {
			return "CAST(x'00d8' AS TEXT)" // half of a pair
		}
		return "CAST(x'ff41' AS TEXT)"
	case 8:
		return fmt.Sprintf("'%d '", s.rng.IntN(100))
	case 9:
		return "'Größe 🙂'"
	}
	return fmt.Sprint(s.rng.IntN(100))
}

func (s *states) blob(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return fmt.Sprintf("x'%x'", b)
}

// where chooses rows of a table.
func (s *states) where() string {
	return fmt.Sprintf("(length(coalesce(a,''))*7 + length(coalesce(b,''))*5 + length(coalesce(c,'')) + %d) %% %d = 0", s.rng.IntN(9), 1+s.rng.IntN(30))
}

// change makes another state of it.
func (s *states) change() {
	for range 1 + s.rng.IntN(6) {
		s.changeOnce()
	}
}

func (s *states) changeOnce() {
	if len(s.tables) == 0 {
		s.create()
		return
	}
	i := s.rng.IntN(len(s.tables))
	t := s.tables[i]
	switch s.rng.IntN(18) {
	case 0, 1, 2:
		s.insert(t, 1+s.rng.IntN(20))
	case 3, 4, 5:
		s.may(fmt.Sprintf("UPDATE OR IGNORE %s SET c=%s WHERE %s", t, s.value(), s.where()))
	case 6:
		s.may(fmt.Sprintf("UPDATE OR IGNORE %s SET a=%s, b=%s WHERE %s", t, s.key(), s.value(), s.where()))
	case 7, 8:
		s.may(fmt.Sprintf("DELETE FROM %s WHERE %s", t, s.where()))
	case 9:
		s.may(fmt.Sprintf("INSERT OR REPLACE INTO %s(a,b,c) SELECT a,b,c FROM %s WHERE %s", t, t, s.where()))
	case 10:
		s.exec("VACUUM")
	case 11:
		s.may(fmt.Sprintf("ALTER TABLE %s ADD COLUMN x%d %s", t, s.made, []string{"", "TEXT DEFAULT 'none'", "REAL DEFAULT 1"}[s.rng.IntN(3)]))
	case 12:
		s.may("ALTER TABLE " + t + " DROP COLUMN b")
	case 13:
		s.made++
		if name := fmt.Sprintf("r%d", s.made); s.may("ALTER TABLE " + t + " RENAME TO " + name) {
			s.tables[i] = name
		}
	case 14:
		if s.may("DROP TABLE " + t) {
			s.tables = append(s.tables[:i:i], s.tables[i+1:]...)
		}
	case 15:
		s.create()
	case 16:
		s.made++
		s.may(fmt.Sprintf("CREATE UNIQUE INDEX u%d ON %s(a,b,c)", s.made, t))
		s.may(fmt.Sprintf("PRAGMA user_version=%d", s.made))
	case 17: // content moves over pages that stay where they are in number
		s.may(fmt.Sprintf("UPDATE OR IGNORE %s SET c=replace(c,'%x','%x') WHERE length(c)>400", t, s.rng.IntN(16), s.rng.IntN(16)))
	}
}

// pairOfStates makes two states, and returns their paths.
func pairOfStates(t testing.TB, seed uint64) (a, b string) {
	t.Helper()
	dir := t.TempDir()
	a, b = filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	s := newState(t, b, rand.New(rand.NewPCG(seed, 16)))
	copyFile(t, b, a)
	s.change()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sideOf opens a file as a side of a comparison.
func sideOf(t testing.TB, path string) *Side {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{Immutable: true, Untrusted: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return &Side{Conn: c, Bytes: fi.Size()}
}

// diffOf compares two files.
func diffOf(t testing.TB, a, b string) *Diff {
	t.Helper()
	d, err := New(t.Context(), sideOf(t, a), sideOf(t, b), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// rowsOf are the rows of a table as a plain connection reads them: SQLite's own quote of each column, by a name.
func rowsOf(t testing.TB, path, table string, columns []string) (rows [][]string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list := make([]string, len(columns))
	for i, c := range columns {
		// typeof and hex hold what quote does not: zero bytes in texts.
		list[i] = fmt.Sprintf("CASE typeof(%[1]s) WHEN 'text' THEN 't'||hex(CAST(%[1]s AS BLOB)) ELSE quote(%[1]s) END", c)
	}
	found, err := db.Query("SELECT " + strings.Join(list, ",") + " FROM " + sqlite.QuoteName(table))
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		row, at := make([]string, len(columns)), make([]any, len(columns))
		for i := range row {
			at[i] = &row[i]
		}
		if err := found.Scan(at...); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}
