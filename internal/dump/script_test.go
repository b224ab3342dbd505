package dump_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/testdb"
)

// written is the script of the database at path.
func written(t *testing.T, path, table string) string {
	t.Helper()
	script, _, err := tryScript(t, path, table)
	if err != nil {
		t.Fatal(err)
	}
	return script
}

func tryScript(t *testing.T, path, table string) (string, dump.Written, error) {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{Immutable: true, Untrusted: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.LimitValues(sqlite.MostValue)
	var b bytes.Buffer
	done, err := dump.Script(t.Context(), c, table, &b)
	return b.String(), done, err
}

// load has the sqlite3 shell make a database of a script.
func load(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loaded.db")
	cmd := exec.Command(testdb.RequireTool(t, "sqlite3"), "-bail", path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("the shell: %v: %.500s\n%.2000s", err, out, script)
	}
	return path
}

// content is all that a database has, as text: the schema in any order, and each row of each table with the rowid.
func content(t *testing.T, path string) []string {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{Immutable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := []string{}
	var tables []string
	each := func(query string, fn func(st *sqlite.Stmt)) {
		t.Helper()
		if err := c.Each(t.Context(), query, func(st *sqlite.Stmt) error { fn(st); return nil }); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	each("SELECT type, name, tbl_name, replace(sql, char(13), ''), rootpage FROM sqlite_schema ORDER BY type, name", func(st *sqlite.Stmt) {
		all = append(all, strings.Join([]string{st.Text(0), st.Text(1), st.Text(2), st.Text(3)}, "|"))
		if st.Text(0) == "table" && st.Int(4) > 0 {
			tables = append(tables, st.Text(1))
		}
	})
	for _, table := range tables {
		columns := ""
		each("SELECT name FROM pragma_table_xinfo("+sqlite.QuoteText(table)+")", func(st *sqlite.Stmt) {
			name := sqlite.QuoteName(st.Text(0))
			columns += fmt.Sprintf(", typeof(%s), hex(%s), quote(%s)", name, name, name)
		})
		query := "SELECT rowid" + columns + " FROM " + sqlite.QuoteName(table)
		if st, err := c.Prepare(query); err == nil {
			st.Close()
		} else { // WITHOUT ROWID
			query = "SELECT 0" + columns + " FROM " + sqlite.QuoteName(table)
		}
		each(query, func(st *sqlite.Stmt) {
			row := []string{table}
			for i := range st.Columns() {
				row = append(row, st.Text(i))
			}
			all = append(all, strings.Join(row, "|"))
		})
	}
	for _, name := range []string{"encoding", "user_version", "application_id"} {
		v, err := c.Text(t.Context(), "PRAGMA "+name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name+"="+v)
	}
	return all
}

func sameContent(t *testing.T, want, got []string) {
	t.Helper()
	if slices.Equal(want, got) {
		return
	}
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("%d lines, %d wanted; line %d:\n%.400s\nwant\n%.400s", len(got), len(want), i, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
		}
	}
}

func made(t *testing.T, scripts ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, s := range scripts {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// richSchema has what a schema can have.
const richSchema = `
	CREATE TABLE plain(a, b TEXT DEFAULT 'x;y', "odd ""name" REAL /* ; */ -- to the end
	);
	CREATE TABLE keyed(k TEXT PRIMARY KEY COLLATE NOCASE, v BLOB) WITHOUT ROWID;
	CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT, parent REFERENCES auto(id), n INT CHECK(n > 0));
	CREATE TABLE emptied(id INTEGER PRIMARY KEY AUTOINCREMENT);
	CREATE TABLE computed(a INT, b AS (a*2), c AS (a*3) STORED, d);
	CREATE TABLE hides(rowid, _rowid_, oid, x);
	CREATE TABLE hidesone(rowid, x);
	CREATE TABLE "in'the"" way"(x);
	CREATE TABLE typed(a ANY, b INTEGER) STRICT;
	CREATE TABLE descending(id INTEGER PRIMARY KEY DESC, x);
	CREATE INDEX plain_b ON plain(b COLLATE NOCASE DESC) WHERE a IS NOT NULL;
	CREATE UNIQUE INDEX computed_a ON computed(a, lower(d));
	CREATE VIEW looked AS SELECT a, b FROM plain;
	CREATE VIEW ghostly AS SELECT * FROM gone;
	CREATE TRIGGER looked_in INSTEAD OF INSERT ON looked BEGIN INSERT INTO plain(a) VALUES(new.a); SELECT CASE WHEN 1 THEN 2 END; END;
	CREATE TRIGGER auto_in AFTER INSERT ON auto BEGIN INSERT INTO plain(a) VALUES('never when it is loaded'); END;
	CREATE VIRTUAL TABLE words USING fts5(title, body, tokenize = "porter");
	CREATE VIRTUAL TABLE outside USING fts5(b, content = 'plain', content_rowid = 'rowid');
	CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, +note);
	PRAGMA user_version = 77; PRAGMA application_id = -5;
	INSERT INTO plain(rowid, a, b, "odd ""name") VALUES(-9, 1, 'it''s', 2.5), (9223372036854775807, -9223372036854775808, NULL, 9e999), (7, x'00ff', '', -9e999);
	INSERT INTO plain(a, b) VALUES(5, 'CR' || char(13,10) || 'LF \r and (\r0)' || char(13)), (6, 'zero' || char(0) || 'byte'), (7, char(27) || '[2J'), (8, CAST(x'61ff62' AS TEXT)), (9, char(0x1F600) || 'ü
		.shell true
		;'), ('123', '1e5'), (x'', char(0xfeff) || 'bom');
	INSERT INTO keyed VALUES('b', x'01'), ('A', NULL), ('', 0);
	INSERT INTO auto VALUES(5, NULL, 1), (9, 5, 2); DELETE FROM auto WHERE id = 9;
	INSERT INTO emptied VALUES(40); DELETE FROM emptied;
	INSERT INTO computed(a, d) VALUES(1, 'A'), (2, NULL);
	INSERT INTO hides VALUES(1, 2, 3, 4); INSERT INTO hidesone VALUES('r', 'x'); INSERT INTO "in'the"" way"(rowid, x) VALUES(3, 'x');
	INSERT INTO typed VALUES('123', 5), (123, 6), (1.0, 7); INSERT INTO descending VALUES(3, 'x'), (1, 'y');
	INSERT INTO words VALUES('a title', 'some words'), ('other', 'more of them'); INSERT INTO outside(outside) VALUES('rebuild');
	INSERT INTO boxes VALUES(1, 0.5, 1.5, 'note'), (2, -3, 4, NULL);
	PRAGMA ignore_check_constraints = 1; INSERT INTO auto VALUES(6, NULL, -1); ANALYZE`

// Lost: a row, a rowid, a byte of a value or an object of the schema, on the way through a script.
func TestScriptGivesAnEqualDatabase(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		t.Run(encoding, func(t *testing.T) {
			path := made(t, "PRAGMA encoding = '"+encoding+"'", richSchema)
			loaded := load(t, written(t, path, ""))
			if got := testdb.ShellQuery(t, loaded, "PRAGMA ignore_check_constraints=1; PRAGMA integrity_check"); got != "ok" {
				t.Error(got) // a row has always violated a CHECK
			}
			sameContent(t, content(t, path), content(t, loaded))
			for query, want := range map[string]string{
				"SELECT rowid FROM words WHERE words MATCH 'word'": "1", "SELECT id FROM boxes WHERE x0 < 0": "2",
				"INSERT INTO auto(n) VALUES(1) RETURNING id": "10",
			} {
				if got := strings.TrimSpace(testdb.ShellQuery(t, loaded, query)); want != "" && got != want {
					t.Errorf("%s: %q, want %q", query, got, want)
				}
			}
		})
	}
	t.Run("the sample application", func(t *testing.T) {
		path := testdb.CRM(t, 1<<20)
		sameContent(t, content(t, path), content(t, load(t, written(t, path, ""))))
	})
	t.Run("no tables", func(t *testing.T) {
		path := made(t, "PRAGMA user_version = 3")
		sameContent(t, content(t, path), content(t, load(t, written(t, path, ""))))
	})
}

// Lost: the last digit of a measurement.
func TestScriptKeepsEveryReal(t *testing.T) {
	t.Parallel()
	path := made(t, "CREATE TABLE r(id INTEGER PRIMARY KEY, v REAL, w)")
	db := testdb.Open(t, path)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 12_000 {
		f := math.Float64frombits(rng.Uint64())
		switch i % 3 {
		case 0: // amounts
			f = math.Round(rng.NormFloat64()*1e8) / 100
		case 1: // down to the smallest
			f *= math.Pow(2, -float64(rng.IntN(2000)))
		}
		if math.IsNaN(f) {
			continue
		}
		if _, err := tx.Exec("INSERT INTO r(v, w) VALUES(?, ?)", f, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tx.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
	script := written(t, path, "")
	for shell, loaded := range map[string]string{"sqlite3": load(t, script), "ours": made(t, script)} {
		db := testdb.Open(t, loaded)
		if _, err := db.Exec("ATTACH ? AS was", path); err != nil {
			t.Fatal(err)
		}
		var all, wrong int
		err := db.QueryRow("SELECT count(*), sum(n.v IS NOT o.v OR n.w IS NOT o.w) FROM r n JOIN was.r o USING(id)").Scan(&all, &wrong)
		if err != nil || all < 11_900 || wrong > 0 {
			t.Errorf("%s: %d of %d reals are others: %v", shell, wrong, all, err)
		}
	}
}

func TestScriptOfOneTable(t *testing.T) {
	t.Parallel()
	path := made(t, richSchema)
	loaded := load(t, written(t, path, "AUTO"))
	got := content(t, loaded)
	for _, want := range []string{"table|auto|auto|", "trigger|auto_in|auto|", "auto|5|", "sqlite_sequence|1|text|6175746F|'auto'|integer|3"} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if len(got) != 3+3+3 {
		t.Errorf("%d lines: %q", len(got), got)
	}
	for table, want := range map[string]error{"nosuch": dump.ErrNoTable, "looked": dump.ErrNoTable, "words": dump.ErrNoScript} {
		if _, _, err := tryScript(t, path, table); !errors.Is(err, want) {
			t.Errorf("%s: %v", table, err)
		}
	}
}

// Lost: the machine of who loads the script of a backup that was made to do harm.
func TestScriptRunsNothingOfTheSchema(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{"CREATE VIEW v AS SELECT 1;\n.shell touch ran\n", "CREATE VIEW v AS SELECT 1; SELECT writefile('ran', 'x')"} {
		path := made(t, "CREATE VIEW v AS SELECT 1", "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql = "+sqlite.QuoteText(sql))
		// SQLite refuses what follows in most places; and we in all.
		if script, _, err := tryScript(t, path, ""); !errors.Is(err, dump.ErrNoScript) && !sqlite.IsDamage(err) {
			t.Errorf("%q: %v\n%s", sql, err, script)
		}
	}
}

// A line of "/" or "go" ends a statement of the shell, and the next line may be a command of it. Lost: parts of the schema, and the machine
// of who loads the script of a backup that was made to do harm.
func TestLinesThatTheShellTakesForItsOwn(t *testing.T) {
	t.Parallel()
	schema := []string{
		"CREATE TABLE go(shell, touch CHECK(4\n/\n2 > 0))", "CREATE VIEW harm AS SELECT\ngo\n.shell \"touch\" FROM go",
		"CREATE VIEW halved AS SELECT 4 -- a\n / -- c\n2 AS\n\tGO /* d */ , '\n/\n' /*\n/\n*/ AS [\n/\n],4\r\n/\r\n.5",
		"CREATE TRIGGER tr AFTER INSERT ON go BEGIN\n SELECT 1\n/\n 2;\n/* */ SELECT 3\n/\n2; END",
	}
	path := made(t, append(schema, "INSERT INTO go VALUES(1, 'x\n/\n.shell touch FROM\ngo\n.quit\n')")...)
	script := written(t, path, "")
	loaded := filepath.Join(t.TempDir(), "loaded.db")
	cmd := exec.Command(testdb.RequireTool(t, "sqlite3"), loaded) // it goes on after errors
	cmd.Stdin, cmd.Dir = strings.NewReader(script), t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("the shell: %v: %.500s\n%s", err, out, script)
	}
	if ran, err := filepath.Glob(filepath.Join(cmd.Dir, "*")); err != nil || len(ran) > 0 {
		t.Errorf("the script ran a command: %v, %v", ran, err)
	}
	plain := content(t, loaded)
	for i := range plain {
		plain[i] = strings.ReplaceAll(plain[i], "/**/", "") // the words stay
	}
	sameContent(t, content(t, path), plain)
}

// Lost if this fails: text of a table of a UTF-16 database, in the database that its script is read into, and small numbers.
func TestATableOfUTF16(t *testing.T) {
	t.Parallel()
	path := made(t, "PRAGMA encoding='UTF-16le'", "CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "INSERT INTO t VALUES(1, 'a'||char(27)||'ö'), (2, 'plain'), (3, 1.2345678901234567e-290)")
	loaded := load(t, written(t, path, "t"))
	c, err := sqlite.Open(loaded, sqlite.Options{Immutable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for id, want := range map[int]string{1: "611BC3B6", 2: "706C61696E"} {
		if got, err := c.Text(t.Context(), fmt.Sprintf("SELECT hex(a) FROM t WHERE id=%d", id)); err != nil || got != want {
			t.Errorf("%d: %s, %v, want %s", id, got, err, want)
		}
	}
	if n, err := c.Int(t.Context(), "SELECT a = 1.2345678901234567e-290 FROM t WHERE id=3"); err != nil || n != 1 {
		t.Errorf("the number is another one: %v", err)
	}
}
