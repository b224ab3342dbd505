package dump

import "testing"

// Lost: the machine of who loads a script, to a schema that was written to end its own statement early.
func TestOneCreate(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]bool{
		"CREATE TABLE t(a)": true, "create table t(a);": true, "CREATE TABLE t(a);  \n": true,
		"CREATE TABLE t(a DEFAULT ';')": true, "CREATE TABLE \"a;b\"(`x;` DEFAULT [;])": true, "CREATE TABLE t(a /* ; */, b -- ;\n)": true,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a=1; SELECT CASE WHEN 1 THEN 2 END; END": true,
		"CREATE TABLE trigger(a)": true, "CREATE TABLE t(a TEXT DEFAULT 'it''s')": true, "CREATE TABLE ü(ä)": true, "CREATE VIEW v AS SELECT a FROM t -- to the end": true,
		"CREATE VIEW v AS SELECT a FROM t; DROP TABLE t -- to the end": false,
		"CREATE TABLE t(a); ATTACH 'x' AS y":                           false, "CREATE TABLE t(a);\n.shell true": false, "CREATE TABLE t(a); -- more": false,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END; SELECT writefile('x', 'y'); SELECT 1; END": false,
		"CREATE TABLE t(a DEFAULT 'x": false, "CREATE TABLE t(a) /* no end": false, "SELECT 1": false, "": false, "CREATE TABLE t(\x00)": false,
		"DROP TABLE t": false,
	} {
		if OneCreate(sql) != want {
			t.Errorf("%q: %v", sql, !want)
		}
	}
}
