package repair

import (
	"errors"
	"fmt"
	"testing"
)

// The page of a table is an older copy of itself. Lost without a word otherwise: what changed on it in columns that no
// index covers, and documents of a full-text table, whose texts no index has.
func TestRepairSaysWhatAnOlderPageCosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ made, since, page, want string }{
		{"CREATE TABLE t(id INTEGER PRIMARY KEY, c UNIQUE, d); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20) INSERT INTO t SELECT i, 'c'||i, 'd' FROM n",
			"UPDATE t SET d='changed' WHERE id<4; INSERT INTO t VALUES(21,'c21','d'),(22,'c22','d')", "t",
			"2 rows of t are gone (rowids 21, 22), and the 20 others on their pages may be older than they were"},
		{"CREATE TABLE t(id INTEGER PRIMARY KEY, c UNIQUE, d); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO t SELECT i, 'c'||i, 'd' FROM n",
			"UPDATE t SET d='changed' WHERE id>490; INSERT INTO t VALUES(501,'c501','d')", "t last",
			"1 rows of t are gone (rowids 501), and the %d others on their pages may be older than they were"},
		{"CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES('one'),('two')", "INSERT INTO f VALUES('three')", "f_content",
			"1 rows of f_content are gone (rowids 3), and the 2 others on their pages may be older than they were"},
	} {
		path := makeDB(t, "x.db", "PRAGMA page_size=4096;"+c.made)
		before := read(t, path)
		page := 0
		if c.page == "t last" {
			conn := connect(t, path)
			last, err := conn.Int(t.Context(), "SELECT max(pageno) FROM dbstat WHERE name='t' AND pagetype='leaf'")
			if err != nil {
				t.Fatal(err)
			}
			cells, err := conn.Int(t.Context(), fmt.Sprintf("SELECT ncell FROM dbstat WHERE pageno=%d", last))
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			page, c.want = int(last), fmt.Sprintf(c.want, cells)
		} else {
			page = rootOf(t, path, c.page)
		}
		run(t, path, c.since)
		damaged := read(t, path)
		copy(damaged[(page-1)*4096:page*4096], before[(page-1)*4096:])
		put(t, path, damaged)
		m, err := Copy(t.Context(), path, checkFull(t, path), Options{})
		if err != nil || len(m.Lost) != 1 || m.Lost[0].String() != c.want {
			t.Errorf("%v: %v, want %s", err, m.Lost, c.want)
		}
	}
}

// Page 1 is an older copy of itself, from before the database grew: its header counts too few pages. Lost otherwise: everything since the
// last backup, though every row can be read.
func TestRepairOlderFirstPageOfAGrownDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		create, grow string
		fails        bool
	}{
		"no index": {create: "CREATE TABLE t(a INTEGER PRIMARY KEY, b)"},
		"an index": {create: "CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE)"},
		"free pages since": {create: "CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE); CREATE TABLE u(x)",
			grow: "INSERT INTO u SELECT b||b||b FROM t; DELETE FROM u"},
		"a table since": {create: "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", grow: "CREATE TABLE v(x); INSERT INTO v SELECT b FROM t", fails: true},
		"auto_vacuum":   {create: "PRAGMA auto_vacuum=1; CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE)"},
	} {
		path := makeDB(t, "x.db", "PRAGMA page_size=1024; "+c.create+"; INSERT INTO t VALUES(1, 'one')")
		first := readPage(t, path, 1)
		run(t, path, "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i<400) INSERT INTO t SELECT i, 'row '||i||hex(randomblob(20)) FROM n; "+c.grow)
		want := dump(t, path)
		patch(t, path, 0, first)
		report := checkFull(t, path)
		if !report.Damaged() {
			t.Fatalf("%s: no damage is seen", name)
		}
		m, err := Copy(t.Context(), path, report, Options{Dir: t.TempDir()})
		if c.fails {
			if !errors.Is(err, ErrNotRepairable) {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
			continue
		}
		if err != nil || m.RowsLost() != 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		} else if got := dump(t, path); got != want {
			t.Errorf("%s: the repaired database has other rows", name)
		}
	}
}
