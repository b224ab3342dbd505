package integrity

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// crafted is one way to make a check work for an attacker.
type crafted struct {
	name    string
	build   func(t testing.TB, path string)
	verdict Verdict // at full; "" for any
	err     string  // code of the CheckError that may be the answer
	levels  bool    // run every level, not only full

	deadline bool // run with a deadline, too: the check takes longer
	whole    bool // an honest database, which has to be checked completely
}

// script makes the database with SQL. Its rows get past CHECK constraints.
func script(sql string) func(testing.TB, string) {
	return func(t testing.TB, path string) {
		t.Helper()
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c := connect(t, path)
		if err := c.Exec(t.Context(), "PRAGMA synchronous=OFF; PRAGMA ignore_check_constraints=1;"+sql); err != nil {
			t.Fatalf("%.300s: %v", sql, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// rows inserts n rows of 1 into u.
func rows(n int) string {
	return fmt.Sprintf(";WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO u SELECT 1 FROM n;", n)
}

// inCheck evaluates expr, which may name a, in a CHECK constraint.
func inCheck(expr string, n int) func(testing.TB, string) {
	return script("CREATE TABLE t(a); INSERT INTO t VALUES(1); CREATE TABLE u(a, CHECK(length(" + expr + ")>=0))" + rows(n))
}

// afterwards is inCheck for what SQLite does not accept in a CREATE statement.
func afterwards(expr string) func(testing.TB, string) {
	return script("CREATE TABLE u(a)" + rows(100) + "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='CREATE TABLE u(a, CHECK(length(" + strings.ReplaceAll(expr, "'", "''") + ")>0))'")
}

const (
	mib     = "hex(zeroblob(500000)||a)" // a value of nearly the largest size that a small file may have
	half    = "hex(zeroblob(250000)||a)"
	digits  = "replace(hex(zeroblob(100000)),'00','[1],')"
	objects = "'{'||replace(hex(zeroblob(20000)),'00','\"a\":1,')||'\"b\":'||a||'}'"
)

func craftedCases() []crafted {
	list := []crafted{
		{name: "view", build: script("CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n"), verdict: Healthy, levels: true},
	}
	for name, expr := range map[string]string{
		"instr":        "instr(" + half + "||'x', " + half + "||'y')",
		"replace":      "replace(" + mib + ", hex(zeroblob(100000))||'y', 'x')",
		"trim":         "trim(" + mib + ", 'x'||" + half + ")",
		"ltrim":        "ltrim(" + mib + ", replace(hex(zeroblob(200000)),'00','ab'))",
		"rtrim":        "rtrim(" + mib + ", replace(hex(zeroblob(200000)),'00','ab'))",
		"like":         mib + " LIKE '%'||replace(hex(zeroblob(10000)),'00','0_')||'%1'",
		"like_many":    mib + " LIKE replace(hex(zeroblob(10000)),'00','%0')||'1'",
		"like_escape":  "like('%'||hex(zeroblob(20000))||'1', " + mib + ", 'x')",
		"glob":         mib + " GLOB '*'||replace(hex(zeroblob(8000)),'00','[0]')||'1'",
		"unhex":        "coalesce(unhex(replace(hex(zeroblob(250000)),'00','--'), replace(hex(zeroblob(250000)),'00','ab')||'-'),1)",
		"json_patch":   "json_patch(" + objects + "," + objects + ")",
		"json_pretty":  "json_pretty(replace(hex(zeroblob(450)),'00','[')||" + digits + "||'1'||replace(hex(zeroblob(450)),'00',']'), " + half + ")",
		"json_array":   "json_array(" + strings.TrimSuffix(strings.Repeat("a||"+mib+",", 500), ",") + ")",
		"json_extract": "json_extract('['||" + digits + "||a||']'" + strings.Repeat(",'$'", 900) + ")",
		"json_set":     "json_set('['||" + digits + "||a||']'" + strings.Repeat(",'$[0]',"+half, 400) + ")",
		"json_deep":    "json(replace(hex(zeroblob(200000)),'00','['))",
		"concat":       "concat(" + strings.TrimSuffix(strings.Repeat("a||"+mib+",", 900), ",") + ")",
		"concat_ws":    "concat_ws(" + mib + strings.Repeat(",a", 900) + ")",
		"printf_width": "printf('%*d%*d%*d', 2000000000, a, 900000, a, 2000000000, a)",
		"printf_float": "printf('%.*f', 99999999, a/3.0)",
		"printf_many":  "printf(replace(hex(zeroblob(200)),'00','%!.999999s')" + strings.Repeat(","+half, 200) + ")",
		"printf_fmt":   "printf(replace(hex(zeroblob(200000)),'00','%s%q'), a)",
		"hex":          "hex(hex(hex(hex(hex(hex(zeroblob(400000)||a))))))",
		"zeroblob":     "zeroblob(2000000000)||a",
		"randomblob":   "hex(randomblob(1000000000))",
		"registers":    "max(" + strings.TrimSuffix(strings.Repeat("hex(zeroblob(500000)),", 900), ",") + ")",
		"columns":      "CASE WHEN " + strings.Repeat("hex(zeroblob(500000)||a)<>1 AND ", 900) + "1 THEN 1 END",
		"nested":       strings.Repeat("quote(upper(", 40) + mib + strings.Repeat("))", 40),
		"strftime":     "strftime(replace(hex(zeroblob(200000)),'00','%Y'), a)",
		"soundex":      "soundex(" + mib + ")||unistr(" + half + ")||upper(" + mib + ")",
		"geopoly":      "geopoly_overlap('[[0,0],'||replace(hex(zeroblob(30000)),'00','[1,0],[1,1],')||'[0,0]]','[[0,0],'||replace(hex(zeroblob(30000)),'00','[1,0],[1,1],')||'[0,0]]')",
		"in_list":      "a IN (1" + strings.Repeat(",2", 200000) + ")",
		"sum":          "1" + strings.Repeat("+a", 900),
		"likelihood":   "substr(" + mib + ",-a,100)||char(a)||round(a,30)",
		"concat_chain": strings.Repeat("(a||"+half+strings.Repeat("||''", 500)+")+", 100) + "1",
		"concat_max":   "max(" + half + strings.Repeat(",a||"+half+"||a||''||''", 900) + ")",
		"instr_line":   strings.Repeat("instr(hex(zeroblob(4000)||a)||'x', hex(zeroblob(2000)||a)||'y')+", 900) + "1",
		"collation":    "a COLLATE nosuch = 'x'",
	} {
		list = append(list, crafted{name: "check_" + name, build: inCheck(expr, 2000), deadline: name == "instr_line" || name == "strftime"})
	}
	list = slices.Concat(list, moreCrafted(), craftedFiles(), craftedSchemas(), largeValues())
	return list
}

func moreCrafted() []crafted {
	slow := "length(hex(zeroblob(500000)||a))"
	wide := func(n int, f string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, f, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	return []crafted{
		{name: "load", build: afterwards("load_extension('/tmp/none')"), verdict: Corrupt},
		{name: "readfile", build: afterwards("readfile('/etc/passwd')||writefile('/tmp/none','x')||edit(a)"), verdict: Healthy},
		{name: "generated", deadline: true, build: script("CREATE TABLE u(a, b AS (" + slow + ") NOT NULL)" + rows(500)), verdict: Healthy},
		{name: "generated_stored_index", build: script("CREATE TABLE u(a, b AS (a||'x')); CREATE INDEX i ON u(b)" + rows(200000)), verdict: Healthy},
		{name: "index_expression", build: script("CREATE TABLE u(a); CREATE INDEX i ON u(" + slow + ")" + rows(500)), verdict: Healthy},
		{name: "index_partial", build: script("CREATE TABLE u(a); CREATE INDEX i ON u(a) WHERE " + slow + ">3" + rows(500)), verdict: Healthy},
		{name: "check_many_tables", deadline: true, build: script(strings.ReplaceAll(wide(200, "CREATE TABLE u%d(a CHECK("+slow+">0));"), "));", "));") + "CREATE TABLE u(a);" + rows(10) + wide(200, "INSERT INTO u%d SELECT a FROM u;")), verdict: Healthy},
		{name: "columns_missing", build: script("CREATE TABLE u(a)" + rows(100000) + "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='CREATE TABLE u(a" + wide(1999, ",c%d INT DEFAULT 1") + ")'")},
		{name: "columns_index", build: script("CREATE TABLE u(" + wide(1990, "c%d,") + ");" + indexes(60, wide(1990, "c%d,"))), verdict: Healthy},
		{name: "fts5_view", build: script("CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i, i AS x FROM n; CREATE VIRTUAL TABLE f USING fts5(x, content=v, content_rowid=i)")},
		{name: "fts5_dbpage", build: script("CREATE VIRTUAL TABLE f USING fts5(data, content=sqlite_dbpage, content_rowid=pgno)")},
		{name: "fts5_structure", build: script("CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('a b c'); UPDATE f_data SET block=unhex('00000000ffffffff7fffffff7fffffff7f') WHERE id=10")},
		{name: "fts5_averages", build: script("CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('a b c'); UPDATE f_data SET block=zeroblob(900000)")},
		{name: "fts5_many", build: script("CREATE TABLE u(a); PRAGMA writable_schema=1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO sqlite_schema SELECT 'table','f'||i,'f'||i,0,'CREATE VIRTUAL TABLE f'||i||' USING fts5(x)' FROM n")},
		{name: "rtree_many", build: script("CREATE TABLE u(a); PRAGMA writable_schema=1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO sqlite_schema SELECT 'table','f'||i,'f'||i,0,'CREATE VIRTUAL TABLE f'||i||' USING rtree(x,y,z)' FROM n")},
		{name: "rtree_loop", build: script("CREATE VIRTUAL TABLE r USING rtree(id,x,y); INSERT INTO r VALUES(1,0,1); UPDATE r_node SET data=unhex('00280033'||replace(hex(zeroblob(51)),'00','00000000000000010000000000000000'))||zeroblob(400)")},
		{name: "rtree_fan", build: script("CREATE VIRTUAL TABLE r USING rtree(id,x,y); INSERT INTO r VALUES(1,0,1); DELETE FROM r_node; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<41) INSERT INTO r_node SELECT i, unhex(printf('%04x0033',CASE WHEN i=1 THEN 40 ELSE 0 END)||replace(hex(zeroblob(51)),'00',printf('%016x',i+1)||'0000000000000000'))||zeroblob(400) FROM n")},
		{name: "rtree_huge_node", build: script("CREATE VIRTUAL TABLE r USING rtree(id,x,y); INSERT INTO r VALUES(1,0,1); UPDATE r_node SET data=unhex('0000ffff')||zeroblob(900000)")},
		{name: "virtual_internal", build: script("PRAGMA writable_schema=1; INSERT INTO sqlite_schema VALUES('table','s','s',0,'CREATE VIRTUAL TABLE s USING dbstat(main)'),('table','p','p',0,'CREATE VIRTUAL TABLE p USING sqlite_dbpage'),('table','z','z',0,'CREATE VIRTUAL TABLE z USING zipfile(''/etc/passwd'')'),('table','c','c',0,'CREATE VIRTUAL TABLE c USING csv(filename=''/etc/passwd'')'),('table','v','v',0,'CREATE VIRTUAL TABLE v USING fts5vocab(f,row)')")},
		{name: "views", build: views(25_000), verdict: Healthy, deadline: true},
		{name: "triggers", deadline: true, build: script("CREATE TABLE u(a); PRAGMA writable_schema=1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<25000) INSERT INTO sqlite_schema SELECT 'trigger','f'||i,'u',0,'CREATE TRIGGER f'||i||' AFTER INSERT ON u BEGIN INSERT INTO u VALUES(new.a+1); DELETE FROM u; END' FROM n"), verdict: Healthy},
		{name: "tables_one_root", deadline: true, build: script("CREATE TABLE u(a); PRAGMA writable_schema=1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO sqlite_schema SELECT 'table','f'||i,'f'||i,2,'CREATE TABLE f'||i||'(a,b,c,d)' FROM n"), verdict: Corrupt},
		{name: "tables", build: script("PRAGMA page_size=512; BEGIN;" + wide(3000, "CREATE TABLE t%d(a PRIMARY KEY,b NOT NULL,c);") + "COMMIT"), verdict: Healthy},
		{name: "views_nested", build: script("CREATE TABLE u(a); CREATE VIEW v0 AS SELECT a FROM u;" + nestedViews(100)), verdict: Healthy},
		{name: "view_itself", build: script("PRAGMA writable_schema=1; INSERT INTO sqlite_schema VALUES('view','v','v',0,'CREATE VIEW v AS SELECT * FROM v,v,v')"), verdict: Healthy},
		{name: "sql_megabyte", build: script("CREATE TABLE u(a CHECK(a NOT IN (" + strings.TrimSuffix(strings.Repeat("'abcdefgh',", 100000), ",") + ")))" + rows(100)), verdict: Healthy},
		{name: "sql_megabyte_and", build: script("CREATE TABLE u(a CHECK(" + strings.TrimSuffix(strings.Repeat("a<>3 AND ", 900), " AND ") + "))" + rows(50000)), verdict: Healthy},
		{name: "sql_checks", deadline: true, build: script("CREATE TABLE u(a" + strings.Repeat(" CHECK(a<>3 AND a<>4 AND a<>5)", 10000) + ")" + rows(500)), verdict: Healthy},
	}
}

// largeValues are honest: large values must not make a check give up.
func largeValues() []crafted {
	const fill = "INSERT INTO u VALUES(CAST(hex(zeroblob(20000000)) AS BLOB), 'a'||hex(zeroblob(20000000)))"
	return []crafted{
		{name: "big_plain", build: script("CREATE TABLE u(a NOT NULL, b TEXT NOT NULL);" + fill), verdict: Healthy, whole: true},
		{name: "big_strict", build: script("CREATE TABLE u(a BLOB NOT NULL, b TEXT NOT NULL) STRICT;" + fill), verdict: Healthy, whole: true},
		{name: "big_generated", build: script("CREATE TABLE u(a NOT NULL, b TEXT NOT NULL, c AS (substr(b,1,10)), d AS (length(a)) NOT NULL CHECK(d>0));" + fill), verdict: Healthy, whole: true},
		{name: "big_check", build: script("CREATE TABLE u(a NOT NULL CHECK(a<>x'00'), b TEXT NOT NULL CHECK(b LIKE '%a%'));" + fill), verdict: Healthy},
		{name: "big_index", build: script("CREATE TABLE u(a NOT NULL, b TEXT NOT NULL); CREATE INDEX i ON u(a); CREATE INDEX j ON u(b);" + fill), verdict: Healthy},
		{name: "documents", build: script("CREATE TABLE u(a, b TEXT NOT NULL CHECK(json_valid(b) AND b LIKE '%a%'), c AS (json_extract(b,'$[1]'))); CREATE INDEX i ON u(c); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20) INSERT INTO u SELECT 1, '[\"a\"'||replace(hex(zeroblob(500000)),'00',',11')||']' FROM n"), verdict: Healthy, whole: true},
	}
}

func indexes(n int, columns string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "CREATE INDEX i%d ON u(%s);", i, columns)
	}
	return b.String()
}

func nestedViews(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "CREATE VIEW v%d AS SELECT * FROM v%d AS x, v%d AS y;", i+1, i, i)
	}
	return b.String()
}
