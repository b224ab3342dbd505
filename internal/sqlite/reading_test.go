package sqlite_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// Lost: a file, a setting or a row, to a query that was to read only.
func TestReadOneReadsOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE t(a PRIMARY KEY, b); INSERT INTO t VALUES(1, 'x');
		CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1); INSERT INTO boxes VALUES(7, 0, 1);
		CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES('some words')`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite.Open(path, sqlite.Options{Untrusted: true}) // it could write
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.ReadOnlyFrom(); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		"SELECT a FROM t", "select 1;", "SELECT 1 -- with a word after it", "SELECT 1; -- and a comment\n ; /* more */",
		"VALUES(1)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3) SELECT max(i) FROM n",
		"EXPLAIN QUERY PLAN SELECT * FROM t", "SELECT id FROM boxes WHERE x0 < 1", "SELECT rowid FROM words WHERE words MATCH 'some'",
		"PRAGMA table_info(t)", "SELECT name FROM pragma_table_xinfo('t')", "PRAGMA user_version", "PRAGMA integrity_check",
		"SELECT count(*) FROM sqlite_dbpage", "SELECT name FROM sqlite_schema",
	} {
		st, err := c.ReadOne(t.Context(), query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if more, err := st.Step(t.Context()); err != nil || !more {
			t.Errorf("%s: no row: %v", query, err)
		}
		st.Close()
	}
	for query, want := range map[string]error{
		"INSERT INTO t VALUES(2, 'y')": sqlite.ErrNotReading, "UPDATE t SET b = 1": sqlite.ErrNotReading, "DELETE FROM t": sqlite.ErrNotReading,
		"INSERT INTO t VALUES(3,3) RETURNING a": sqlite.ErrNotReading, "CREATE TABLE x(a)": sqlite.ErrNotReading, "CREATE TEMP TABLE x(a)": sqlite.ErrNotReading,
		"DROP TABLE t": sqlite.ErrNotReading, "VACUUM": sqlite.ErrNotReading, "VACUUM INTO '/nonexistent/x.db'": sqlite.ErrNotReading,
		"REINDEX": sqlite.ErrNotReading, "REINDEX words_content": sqlite.ErrNotReading, "ANALYZE": sqlite.ErrNotReading, "BEGIN": sqlite.ErrNotReading, "BEGIN IMMEDIATE": sqlite.ErrNotReading,
		"COMMIT": sqlite.ErrNotReading, "SAVEPOINT a": sqlite.ErrNotReading, "ATTACH ':memory:' AS m": sqlite.ErrNotReading, "DETACH main": sqlite.ErrNotReading,
		"PRAGMA user_version = 5": sqlite.ErrNotReading, "PRAGMA journal_mode": sqlite.ErrNotReading, "PRAGMA journal_mode = delete": sqlite.ErrNotReading,
		"PRAGMA query_only = 0": sqlite.ErrNotReading, "PRAGMA writable_schema = 1": sqlite.ErrNotReading, "PRAGMA wal_checkpoint": sqlite.ErrNotReading,
		"PRAGMA temp_store_directory = '/tmp'": sqlite.ErrNotReading, "PRAGMA hard_heap_limit = 1": sqlite.ErrNotReading, "PRAGMA optimize": sqlite.ErrNotReading,
		"SELECT load_extension('/nonexistent')": sqlite.ErrNotReading, "INSERT INTO words(words) VALUES('rebuild')": sqlite.ErrNotReading,
		"UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 1": sqlite.ErrNotReading,
		"SELECT 1; SELECT 2": sqlite.ErrStatements, "SELECT 1; DROP TABLE t": sqlite.ErrStatements, "SELECT 1; nonsense": sqlite.ErrStatements,
		"": sqlite.ErrStatements, " -- nothing": sqlite.ErrStatements, "SELECT 1\x00; DROP TABLE t": sqlite.ErrStatements,
	} {
		st, err := c.ReadOne(t.Context(), query)
		if st != nil {
			st.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", query, err, want)
		}
	}
	if n, err := c.Int(t.Context(), "SELECT count(*) FROM t"); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}
