package rowsback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/testdb"
)

// tables have one of everything that rows can be kept in.
const tables = `
CREATE TABLE customer(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE, email TEXT UNIQUE, big INT, r REAL, b BLOB,
	upper_name TEXT AS (upper(name)) STORED, twice AS (big*2));
INSERT INTO customer(name,email,big,r,b) VALUES('Anna','a@x',9223372036854775807,0.1,x'00ff00'),('Bob',NULL,-9223372036854775807-1,1e308,zeroblob(9000)),
	('C'||char(0)||'y','c@x',9007199254740993,-0.5,NULL),('Dörte '' "','d@x',0,9.0e999,x''),('Eve','e@x',1,2.0,CAST('text' AS BLOB));
CREATE TABLE tag(word TEXT COLLATE NOCASE, n REAL, what, PRIMARY KEY(word, n DESC)) WITHOUT ROWID;
INSERT INTO tag VALUES('Vip',1,'a'),('new',2.5,x'01'),('old',3,NULL),('OLD',4,7);
CREATE TABLE code(k TEXT PRIMARY KEY COLLATE RTRIM, v);
INSERT INTO code VALUES('x  ',1),('y',2.5),(NULL,3),(NULL,4),('z',NULL);
CREATE TABLE event(at TEXT, what BLOB);
INSERT INTO event VALUES('1','a'),('1','a'),('2',x'00'),('3',NULL),('4','d');
CREATE TABLE kind(any);
INSERT INTO kind VALUES(1),(1.0),('1'),(x'31'),(NULL);
CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT);
INSERT INTO note VALUES(1,'first words'),(2,'second words'),(3,'third');
CREATE VIRTUAL TABLE note_text USING fts5(body, content='note', content_rowid='id');
INSERT INTO note_text(note_text) VALUES('rebuild');
CREATE TRIGGER note_in AFTER INSERT ON note BEGIN INSERT INTO note_text(rowid, body) VALUES(new.id, new.body); END;
CREATE TRIGGER note_out AFTER DELETE ON note BEGIN INSERT INTO note_text(note_text, rowid, body) VALUES('delete', old.id, old.body); END;
CREATE TRIGGER note_up AFTER UPDATE ON note BEGIN INSERT INTO note_text(note_text, rowid, body) VALUES('delete', old.id, old.body);
	INSERT INTO note_text(rowid, body) VALUES(new.id, new.body); END;
`

// all is the content of the tables, exactly.
const all = `SELECT 'customer',rowid,id,quote(name),quote(email),big,quote(r),quote(b),quote(upper_name),twice FROM customer ORDER BY id;
SELECT 'tag',quote(word),quote(n),quote(what) FROM tag ORDER BY word, n; SELECT 'code',quote(k),quote(v) FROM code ORDER BY k, v;
SELECT 'event',rowid,quote(at),quote(what) FROM event ORDER BY rowid; SELECT 'kind',rowid,quote(any) FROM kind ORDER BY rowid;
SELECT 'note',id,quote(body) FROM note ORDER BY id; SELECT 'text',rowid FROM note_text WHERE note_text MATCH 'words' ORDER BY rowid;
SELECT * FROM sqlite_sequence; INSERT INTO note_text(note_text, rank) VALUES('integrity-check', 1); PRAGMA integrity_check; PRAGMA foreign_key_check`

// states makes a database and, next to it, what changes make of it.
func states(t *testing.T, before, changes string) (then, now string) {
	t.Helper()
	dir := t.TempDir()
	then, now = filepath.Join(dir, "then.db"), filepath.Join(dir, "now.db")
	testdb.ShellQuery(t, then, before)
	copyFile(t, then, now)
	testdb.ShellQuery(t, now, changes)
	return then, now
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// choose chooses rows of one database file, for another one.
func choose(t *testing.T, then, now string, o Options) (*Chosen, error) {
	t.Helper()
	return chosen(t, then, now, func(d *rowdiff.Diff, from, live *rowdiff.Side) (*Chosen, error) {
		return Choose(t.Context(), d, from, live, o)
	})
}

func chosen(t *testing.T, then, now string, choose func(d *rowdiff.Diff, from, live *rowdiff.Side) (*Chosen, error)) (*Chosen, error) {
	t.Helper()
	from, err := sqlite.Open(then, sqlite.Options{Immutable: true, Untrusted: true})
	if err != nil {
		t.Fatal(err)
	}
	live := open(t, now)
	side := &rowdiff.Side{Conn: from, Bytes: 1 << 20}
	d, err := rowdiff.New(t.Context(), side, &rowdiff.Side{Conn: live, Bytes: 1 << 20}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := choose(d, side, &rowdiff.Side{Conn: live, Bytes: 1 << 20})
	return c, errors.Join(err, d.Close(), from.Close(), live.Close())
}

// bring brings rows back, and returns the SQL that says so. The record of it is kept next to now.
func bring(t *testing.T, then, now string, o Options) (p Plan, script string, err error) {
	t.Helper()
	c, err := choose(t, then, now, o)
	if err != nil {
		return p, "", err
	}
	return apply(t, c, now)
}

// apply changes now, and keeps the record of it next to it.
func apply(t *testing.T, c *Chosen, now string) (p Plan, script string, err error) {
	t.Helper()
	conn := open(t, now)
	if err := conn.Exec(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	work, err := c.Compare(t.Context(), conn)
	if err != nil {
		return p, "", err
	}
	var b bytes.Buffer
	if err := work.WriteSQL(&b); err != nil {
		t.Fatal(err)
	}
	if p, err = work.Apply(t.Context(), conn, func(int64) {}); err != nil {
		return p, b.String(), errors.Join(err, conn.Exec(context.WithoutCancel(t.Context()), "ROLLBACK"))
	}
	left, err := work.Left(conn)
	if err != nil {
		t.Fatal(err)
	}
	var record bytes.Buffer
	if _, err := left.WriteTo(&record); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(now+".left", record.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return p, b.String(), conn.Exec(t.Context(), "COMMIT")
}

// TestRowsComeBackAsTheyWere deletes rows of each table and brings them back, by the transaction and by the script that says
// what it does: all is as it was before, to the type and the rowid, and what came since is still there.
func TestRowsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	const since = "INSERT INTO customer(name,email) VALUES('Since','s@x'); INSERT INTO tag VALUES('since',1,1); INSERT INTO note VALUES(9,'words since'); INSERT INTO event(rowid,at) VALUES(99,'since');"
	for name, v := range map[string]struct {
		o    Options
		lost string
	}{
		"integer key":   {Options{Table: "customer", Missing: true}, "DELETE FROM customer WHERE id<5"},
		"where":         {Options{Table: "CUSTOMER", Where: "upper_name='EVE' OR id IN (SELECT id FROM note)"}, "DELETE FROM customer WHERE id<4 OR name='eve'"},
		"keys":          {Options{Table: "customer", Keys: []rowdiff.Fields{{{Column: "ID", Value: int64(2)}}, {{Column: "id", Value: "2"}}, {{Column: "id", Value: int64(4)}}}}, "DELETE FROM customer WHERE id IN (2,4)"},
		"without rowid": {Options{Table: "tag", Missing: true}, "DELETE FROM tag WHERE word='OLD'"},
		"one of a key":  {Options{Table: "tag", Where: "word='old' AND n=4"}, "DELETE FROM tag WHERE n=4"},
		"text key":      {Options{Table: "code", Missing: true}, "DELETE FROM code WHERE k='x' OR k='z'"},
		"NULL in a key": {Options{Table: "code", Missing: true}, "DELETE FROM code WHERE v IN (3)"},
		"no key":        {Options{Table: "event", Missing: true}, "DELETE FROM event WHERE rowid IN (2,3,5)"},
		"some, no key":  {Options{Table: "event", Missing: true, Where: "at IN ('3','4')"}, "DELETE FROM event WHERE at>='3' AND at<'5'"},
		"any type":      {Options{Table: "kind", Missing: true}, "DELETE FROM kind"},
		"with triggers": {Options{Table: "note", Missing: true}, "DELETE FROM note WHERE id<3"},
		"changed":       {Options{Table: "note", Where: "id=1", OnConflict: Replace}, "UPDATE note SET body='nothing' WHERE id=1"},
		"case changed":  {Options{Table: "tag", Where: "word='VIP'", OnConflict: Replace}, "UPDATE tag SET word='VIP', what=NULL WHERE word='vip'"},
		"type changed":  {Options{Table: "customer", Where: "1", OnConflict: Replace}, "UPDATE customer SET b='text', r=2 WHERE id=5"},
		"value taken":   {Options{Table: "customer", Where: "1", OnConflict: Replace}, "DELETE FROM customer WHERE id=1; UPDATE customer SET email='a@x' WHERE id=3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			then, now := states(t, tables, since)
			want := testdb.ShellQuery(t, now, all)
			testdb.ShellQuery(t, now, v.lost)
			if testdb.ShellQuery(t, now, all) == want {
				t.Fatal("nothing was lost")
			}
			byScript, before := now+".script", now+".before"
			copyFile(t, now, byScript)
			copyFile(t, now, before)
			p, script, err := bring(t, then, now, v.o)
			if err != nil {
				t.Fatalf("%v\n%s", err, script)
			}
			if got := testdb.ShellQuery(t, now, all); got != want {
				t.Errorf("now:\n%s\nwant:\n%s\nby:\n%s", got, want, script)
			}
			if n := int64(strings.Count(script, "\nINSERT")); n != p.Inserted || p.Rows != p.Inserted+p.Replaced {
				t.Errorf("%d insertions: %+v", n, p)
			}
			undoneAndAgain(t, before, now)
			if name == "value taken" {
				return // the script, which goes by its order, fails and says so
			}
			testdb.ShellQuery(t, byScript, script)
			if got := testdb.ShellQuery(t, byScript, all); got != want {
				t.Errorf("the script gives:\n%s\nwant:\n%s\n%s", got, want, script)
			}
			if again, _, err := bring(t, then, now, v.o); err != nil || again.Rows != 0 {
				t.Errorf("once more: %+v, %v", again, err)
			}
		})
	}
}

// TestNothingIsDoneByHalf refuses what cannot be done wholly, names the row, and leaves everything as it is.
func TestNothingIsDoneByHalf(t *testing.T) {
	t.Parallel()
	const before = `CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT UNIQUE, city INT REFERENCES city ON DELETE CASCADE, age INT);
INSERT INTO city VALUES(1,'Bonn'),(2,'Köln'); INSERT INTO person VALUES(1,'a',1,10),(2,'b',1,20),(3,'c',2,30),(4,'d',NULL,NULL)`
	const gone = "DELETE FROM person WHERE id IN (1,2,4);"
	for name, v := range map[string]struct {
		o       Options
		changes string
		is      error
		says    []string
	}{
		"another row":     {Options{Missing: false, Where: "1"}, gone + "UPDATE person SET age=31 WHERE id=3", ErrConflict, []string{"row id=3 of person"}},
		"unique":          {Options{Missing: true}, gone + "INSERT INTO person VALUES(9,'b',1,1)", ErrConflict, []string{"row id=2 of person", "name"}},
		"unique, replace": {Options{Missing: true, OnConflict: Replace}, gone + "INSERT INTO person VALUES(9,'b',1,1)", ErrConflict, []string{"row id=2 of person", "UNIQUE"}},
		"swapped": {Options{Where: "1", OnConflict: Replace}, "UPDATE person SET name=NULL WHERE id=1; UPDATE person SET name='a' WHERE id=3; UPDATE person SET name='c' WHERE id=1",
			ErrConflict, []string{"row id=1 of person", "UNIQUE"}},
		"unique by expression": {Options{Missing: true}, gone + "CREATE UNIQUE INDEX u ON person(lower(name)); INSERT INTO person VALUES(9,'B',1,1)",
			ErrConflict, []string{"row id=2 of person", "UNIQUE"}},
		"foreign key": {Options{Missing: true}, gone + "DELETE FROM city WHERE id=1", ErrConflict, []string{"row id=1 of person", "city"}},
		"check": {Options{Missing: true}, gone + "ALTER TABLE person RENAME TO p; CREATE TABLE person(id INTEGER PRIMARY KEY, name, city INT, age INT CHECK(age>15)); INSERT INTO person SELECT * FROM p",
			ErrConflict, []string{"row id=1 of person", "CHECK"}},
		"not null": {Options{Missing: true}, gone + "ALTER TABLE person RENAME TO p; CREATE TABLE person(id INTEGER PRIMARY KEY, name, city INT, age INT NOT NULL); INSERT INTO person SELECT * FROM p",
			ErrConflict, []string{"row id=4 of person", "NOT NULL"}},
		"a trigger":              {Options{Missing: true}, gone + "CREATE TRIGGER no BEFORE INSERT ON person BEGIN SELECT RAISE(ABORT, 'not today'); END", ErrConflict, []string{"row id=1", "not today"}},
		"no table now":           {Options{Missing: true}, "DROP TABLE person", ErrRefused, []string{"person"}},
		"no table then":          {Options{Table: "later", Missing: true}, "CREATE TABLE later(x)", ErrNoTable, []string{"later"}},
		"nothing said":           {Options{}, gone, ErrOptions, []string{"person"}},
		"no column":              {Options{Where: "nothing=1"}, gone, ErrOptions, []string{"nothing"}},
		"parenthesis":            {Options{Where: "1) UNION SELECT 9,9,9,9 FROM (SELECT 1"}, gone, ErrOptions, nil},
		"two statements":         {Options{Where: "1; DROP TABLE person"}, gone, ErrOptions, nil},
		"a comment":              {Options{Where: "1) --"}, gone, ErrOptions, nil},
		"text without its end":   {Options{Where: "name = 'a"}, gone, ErrOptions, nil},
		"a key without a column": {Options{Keys: []rowdiff.Fields{{{Column: "name", Value: "a"}}}}, gone, ErrOptions, []string{"id"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			then, now := states(t, before, v.changes)
			dump := testdb.ShellQuery(t, now, ".dump")
			if v.o.Table == "" {
				v.o.Table = "person"
			}
			_, script, err := bring(t, then, now, v.o)
			if !errors.Is(err, v.is) {
				t.Fatalf("%v\n%s", err, script)
			}
			for _, says := range v.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if got := testdb.ShellQuery(t, now, ".dump"); got != dump {
				t.Errorf("it was changed:\n%s", got)
			}
		})
	}
}

// Lost if this fails: rows that nobody chose, to a conflict clause of the table or of a trigger that deletes them, or that ends the
// transaction in the middle.
func TestConflictClausesTakeNoOtherRow(t *testing.T) {
	t.Parallel()
	const before = "CREATE TABLE log(id UNIQUE); CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT UNIQUE ON CONFLICT %s, n TEXT); INSERT INTO p VALUES(1,'a',NULL),(2,'b','y'),(3,'c','z')"
	const taken = "DELETE FROM p WHERE id=1; UPDATE p SET name='d' WHERE id=2; DELETE FROM p WHERE id=3; INSERT INTO p VALUES(8,'a','new'),(9,'b','new')"
	for name, v := range map[string]struct{ clause, changes, says string }{
		"replace":  {"REPLACE", taken, "row id=1 of p"},
		"rollback": {"ROLLBACK", taken, "row id=1 of p"},
		"ignore":   {"IGNORE", taken, "row id=1 of p"},
		"NULL": {"ABORT", "DROP TABLE p; CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT, n TEXT NOT NULL ON CONFLICT REPLACE DEFAULT 'made up')",
			"row id=1 of p: NOT NULL"},
		"a trigger's": {"ABORT", "DROP TABLE p; CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT, n TEXT); INSERT INTO log VALUES(1); CREATE TRIGGER logged AFTER INSERT ON p BEGIN INSERT OR ROLLBACK INTO log VALUES(new.id); END",
			"row id=1 of p"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			then, now := states(t, fmt.Sprintf(before, v.clause), v.changes)
			dump := testdb.ShellQuery(t, now, ".dump")
			_, script, err := bring(t, then, now, Options{Table: "p", Where: "1", OnConflict: Replace})
			if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), v.says) {
				t.Errorf("%v\n%s", err, script)
			}
			if _, err := exec.Command(testdb.RequireTool(t, "sqlite3"), "-bail", now, script).Output(); err == nil {
				t.Errorf("the script does it:\n%s", script)
			}
			if got := testdb.ShellQuery(t, now, ".dump"); got != dump {
				t.Errorf("it was changed:\n%s", got)
			}
		})
	}
}

// TestSkipLeavesOutWhatIsInTheWay brings back the others, and counts.
func TestSkipLeavesOutWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	then, now := states(t, "CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT UNIQUE, x TEXT UNIQUE); INSERT INTO p VALUES(1,'a',1),(2,'b',2),(3,'c',3),(4,'d',4)",
		"DELETE FROM p WHERE id IN (1,2,4); UPDATE p SET x=9; INSERT INTO p VALUES(7,'b',7); CREATE UNIQUE INDEX lower ON p(upper(x)); INSERT INTO p VALUES(8,'h','4')")
	p, script, err := bring(t, then, now, Options{Table: "p", Where: "1", OnConflict: Skip})
	if err != nil || p.Inserted != 1 || p.Replaced != 0 || p.Skipped != 3 || p.Rows != 4 || p.Conflicting != 3 {
		t.Fatalf("%+v, %v\n%s", p, err, script)
	}
	if got := testdb.ShellQuery(t, now, "SELECT * FROM p"); got != "1|a|1\n3|c|9\n7|b|7\n8|h|4" {
		t.Error(got)
	}
}

// TestColumnsThatCameAndWent gives new columns their defaults, leaves out those that are gone, and says so.
func TestColumnsThatCameAndWent(t *testing.T) {
	t.Parallel()
	then, now := states(t, "CREATE TABLE p(id INTEGER PRIMARY KEY, a, b); INSERT INTO p VALUES(1,2,3)",
		"DELETE FROM p; ALTER TABLE p DROP COLUMN a; ALTER TABLE p ADD COLUMN c DEFAULT 'new'; CREATE TRIGGER fires AFTER INSERT ON p BEGIN SELECT 1; END; CREATE TRIGGER quiet AFTER UPDATE ON p BEGIN SELECT 1; END")
	p, _, err := bring(t, then, now, Options{Table: "p", Missing: true})
	if err != nil || !slices.Equal(p.NewColumns, []string{"c"}) || !slices.Equal(p.LostColumns, []string{"a"}) || !slices.Equal(p.Triggers, []string{"fires"}) {
		t.Fatalf("%+v, %v", p, err)
	}
	if got := testdb.ShellQuery(t, now, "SELECT * FROM p"); got != "1|3|new" {
		t.Error(got)
	}
}

// TestTheTableIsTheOneThatRowsWereChosenFor finds a schema that changed between the choice and the transaction.
func TestTheTableIsTheOneThatRowsWereChosenFor(t *testing.T) {
	t.Parallel()
	then, now := states(t, "CREATE TABLE p(id INTEGER PRIMARY KEY, a); INSERT INTO p VALUES(1,2)", "DELETE FROM p")
	c, err := choose(t, then, now, Options{Table: "p", Missing: true})
	if err != nil {
		t.Fatal(err)
	}
	testdb.ShellQuery(t, now, "ALTER TABLE p ADD COLUMN b")
	if _, err := c.Compare(t.Context(), open(t, now)); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
}

// TestReferencesComeAlong brings back what a cascade took along, over several tables and circles, and what is referred to.
func TestReferencesComeAlong(t *testing.T) {
	t.Parallel()
	const before = `CREATE TABLE city(code TEXT COLLATE NOCASE PRIMARY KEY, name) WITHOUT ROWID;
CREATE TABLE customer(id INTEGER PRIMARY KEY, city TEXT REFERENCES city, best INT REFERENCES deal ON DELETE CASCADE);
CREATE TABLE deal(id INTEGER PRIMARY KEY, customer INT REFERENCES customer(id) ON DELETE CASCADE, parent INT REFERENCES deal ON DELETE CASCADE);
CREATE TABLE part(deal INT REFERENCES deal ON DELETE CASCADE, n INT, what, PRIMARY KEY(deal, n)); CREATE TABLE other(id INTEGER PRIMARY KEY, customer INT REFERENCES customer ON DELETE SET NULL);
INSERT INTO city VALUES('BN','Bonn'),('K','Koeln'),('U','Ulm'); INSERT INTO customer VALUES(1,'bn',NULL),(2,'K',NULL),(3,NULL,NULL),(4,'U',NULL);
INSERT INTO deal VALUES(10,1,NULL),(11,1,10),(12,2,11),(13,3,NULL),(14,4,13); UPDATE customer SET best=11 WHERE id=1; UPDATE customer SET best=12 WHERE id=3;
INSERT INTO part VALUES(10,1,'a'),(10,2,'b'),(12,1,x'00'),(13,1,NULL),(14,1,'e'); INSERT INTO other VALUES(1,1),(2,2)`
	const content = "SELECT * FROM city ORDER BY 1; SELECT * FROM customer ORDER BY 1; SELECT * FROM deal ORDER BY 1; SELECT deal,n,quote(what) FROM part ORDER BY 1,2; SELECT * FROM other; PRAGMA foreign_key_check"
	then, now := states(t, before, "PRAGMA foreign_keys=ON; INSERT INTO deal VALUES(20,2,NULL)")
	want := testdb.ShellQuery(t, now, content)
	testdb.ShellQuery(t, now, "PRAGMA foreign_keys=ON; DELETE FROM customer WHERE id=1; DELETE FROM city WHERE code='BN'; UPDATE other SET customer=1 WHERE 0")
	want = strings.Replace(want, "\n1|1\n2|2", "\n1|\n2|2", 1) // what was set to NULL is there, and stays
	o := Options{Table: "customer", Where: "id=1"}
	if _, _, err := bring(t, then, now, o); !errors.Is(err, ErrConflict) {
		t.Fatalf("without what it refers to: %v", err)
	}
	o.References = true
	p, script, err := bring(t, then, now, o)
	if err != nil {
		t.Fatalf("%+v, %v\n%s", p, err, script)
	}
	if got := testdb.ShellQuery(t, now, content); got != want {
		t.Errorf("now:\n%s\nwant:\n%s\nby:\n%s", got, want, script)
	}
	counts := map[string]int64{}
	for _, r := range p.Tables {
		counts[r.Table] = r.Inserted
	}
	if counts["city"] != 1 || counts["deal"] < 3 || counts["part"] < 3 || counts["other"] != 0 {
		t.Errorf("%+v", p)
	}
	if again, _, err := bring(t, then, now, o); err != nil || again.Rows != 0 {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

// TestManyReferencesComeAlong is the same for more rows than are looked up one after another.
func TestManyReferencesComeAlong(t *testing.T) {
	t.Parallel()
	const before = `CREATE TABLE a(id INTEGER PRIMARY KEY, x); CREATE TABLE b(id INTEGER PRIMARY KEY, a INT REFERENCES a ON DELETE CASCADE, x);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO a SELECT i, 'a'||i FROM n; INSERT INTO b SELECT id+7, id, x FROM a`
	then, now := states(t, before, "PRAGMA foreign_keys=ON; DELETE FROM a WHERE id%3=0")
	p, _, err := bring(t, then, now, Options{Table: "a", Missing: true, References: true})
	if err != nil || p.Inserted != 2000 || len(p.Tables) != 2 || p.Tables[0].Inserted != 1000 || p.Tables[1].Inserted != 1000 {
		t.Fatalf("%+v, %v", p, err)
	}
	const sums = "SELECT count(*), sum(id), group_concat(x) FROM a; SELECT count(*), sum(id*a), group_concat(x) FROM b"
	if testdb.ShellQuery(t, now, sums) != testdb.ShellQuery(t, then, sums) {
		t.Error("the tables differ")
	}
}

// Lost if this fails: rows that referred in another spelling or type than the key has.
func TestReferencesInOtherWordsComeAlong(t *testing.T) {
	t.Parallel()
	const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
	for what, tables := range map[string]string{
		"collation":     "CREATE TABLE p(k TEXT PRIMARY KEY COLLATE NOCASE, v); CREATE TABLE c(id INTEGER PRIMARY KEY, p TEXT REFERENCES p ON DELETE CASCADE);" + many + "INSERT INTO p SELECT 'key'||i, i FROM n; INSERT INTO c SELECT v, upper(k) FROM p",
		"no affinity":   "CREATE TABLE p(k INTEGER PRIMARY KEY, v); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);" + many + "INSERT INTO p SELECT i, i FROM n; INSERT INTO c SELECT v, CAST(k AS TEXT) FROM p",
		"without rowid": "CREATE TABLE p(k NUMERIC UNIQUE, id INTEGER PRIMARY KEY); CREATE TABLE c(id, p TEXT REFERENCES p(k) ON DELETE CASCADE, PRIMARY KEY(p, id)) WITHOUT ROWID;" + many + "INSERT INTO p SELECT i, i FROM n; INSERT INTO c SELECT id, CAST(k AS TEXT) FROM p",
		"two columns":   "CREATE TABLE p(k TEXT COLLATE NOCASE, n INT, PRIMARY KEY(k,n)); CREATE TABLE c(id INTEGER PRIMARY KEY, k, n, FOREIGN KEY(k,n) REFERENCES p ON DELETE CASCADE);" + many + "INSERT INTO p SELECT 'key', i FROM n; INSERT INTO c SELECT n, upper(k), n FROM p",
		"its own":       "CREATE TABLE parent(k TEXT PRIMARY KEY COLLATE NOCASE, up REFERENCES parent ON DELETE CASCADE); CREATE VIEW c AS SELECT * FROM parent WHERE up IS NOT NULL; CREATE VIEW p AS SELECT * FROM parent WHERE up IS NULL;" + many + "INSERT INTO parent SELECT 'key'||i, NULL FROM n; INSERT INTO parent SELECT 'child'||k, upper(k) FROM parent",
	} {
		for _, n := range []int{3, fewLookups + 3} {
			t.Run(fmt.Sprint(what, n), func(t *testing.T) {
				table := "p"
				if what == "its own" {
					table = "parent"
				}
				then, now := states(t, fmt.Sprintf(tables, n), "PRAGMA foreign_keys=ON; DELETE FROM "+table)
				const all = "SELECT count(*) FROM p; SELECT * FROM c ORDER BY 1"
				if got := testdb.ShellQuery(t, now, all); got != "0" {
					t.Fatalf("there are %s", got)
				}
				o := Options{Table: table, Where: "1", References: true}
				if what == "its own" {
					o.Where = "up IS NULL"
				}
				if p, script, err := bring(t, then, now, o); err != nil || p.Inserted != int64(2*n) {
					t.Errorf("%+v, %v\n%.2000s", p, err, script)
				}
				if got, want := testdb.ShellQuery(t, now, all), testdb.ShellQuery(t, then, all); got != want {
					t.Errorf("there are %.300s\nwant %.300s", got, want)
				}
			})
		}
	}
}

// Lost if this fails: rows that are named by their keys in a database of another encoding.
func TestKeysOfAnyEncoding(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		then, now := states(t, "PRAGMA encoding='"+encoding+"'; CREATE TABLE p(k TEXT PRIMARY KEY, v); INSERT INTO p VALUES('Dörte','a'),('x','b')", "DELETE FROM p")
		p, script, err := bring(t, then, now, Options{Table: "p", Keys: []rowdiff.Fields{{{Column: "k", Value: "Dörte"}}}})
		if got := testdb.ShellQuery(t, now, "SELECT * FROM p"); err != nil || p.Inserted != 1 || got != "Dörte|a" {
			t.Errorf("%s: %+v, %v, %s\n%s", encoding, p, err, got, script)
		}
	}
}

// Lost if this fails: the truth about what was done, and the undo of it, where a trigger's OR FAIL ends a statement and leaves what it did.
func TestTriggersThatFailHalfway(t *testing.T) {
	t.Parallel()
	const tables = `CREATE TABLE a(id INTEGER PRIMARY KEY, x); CREATE TABLE once(n UNIQUE); INSERT INTO a VALUES(1,1),(2,2),(3,3);
		CREATE TRIGGER r AFTER INSERT ON a WHEN new.id<>2 BEGIN INSERT OR FAIL INTO once VALUES(new.x+10); INSERT OR FAIL INTO once VALUES(7); END`
	for _, policy := range []Policy{Skip, Fail, Replace} {
		then, now := states(t, tables, "DELETE FROM a; INSERT INTO once VALUES(7)")
		before := testdb.ShellQuery(t, now, "SELECT * FROM a; SELECT * FROM once")
		p, _, err := bring(t, then, now, Options{Table: "a", Missing: true, OnConflict: policy})
		got := testdb.ShellQuery(t, now, "SELECT * FROM a; SELECT * FROM once")
		if policy == Skip && (err != nil || p.Inserted != 1 || p.Skipped != 2 || got != "2|2\n"+before) || policy != Skip && (!errors.Is(err, ErrConflict) || got != before) {
			t.Errorf("%s: %+v, %v:\n%s", policy, p, err, got)
		}
	}
}
