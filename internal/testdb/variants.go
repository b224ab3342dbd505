package testdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// A Variant is one kind of SQLite database: small, always the same, made by Create.
type Variant struct {
	Name string
	// PageSize is in bytes; 0 stands for SQLite's default, 4096.
	PageSize int
	// JournalMode is what the maker's connection used, in lower case. Rollback
	// modes other than delete live in connections, not in the file.
	JournalMode string
	// Sum is what the balances add up to; 0 where there are no accounts.
	Sum int64
	// Unfolded databases keep their newest commits in a -wal next to the file.
	Unfolded bool

	pragmas string // before the first page is written
	sql     string // tables and rows beyond the ledger's
	bare    bool   // no ledger
	reserve int    // unused bytes at the end of each page
}

// The ledger of variants: accounts 1 to variantAccounts.
const (
	variantAccounts = 20
	variantOpening  = 1000
)

// ledgerSchema is the same ledger as the sample CRM's. Accounts are a third of a
// page wide, so that a transfer changes two pages.
const ledgerSchema = `
CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, terms TEXT NOT NULL);
CREATE TABLE transfers(id INTEGER PRIMARY KEY, from_account INTEGER NOT NULL, to_account INTEGER NOT NULL,
  amount INTEGER NOT NULL, memo TEXT NOT NULL, made_at TEXT NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
INSERT INTO accounts SELECT i, %d, printf('%%.*c', %d, char(96+i)) FROM n;`

// itemsSQL is an ordinary table with an index and room for free pages.
const itemsSQL = `
CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL, data BLOB);
CREATE INDEX items_name ON items(name);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300)
INSERT INTO items SELECT i, 'Größe №'||(i*7919%1009), zeroblob(i%97) FROM n;
DELETE FROM items WHERE id BETWEEN 100 AND 180;`

// Variants returns every kind, most with the ledger's tables in them.
func Variants() []Variant {
	var all []Variant
	for size := 512; size <= 65536; size *= 2 {
		all = append(all, Variant{Name: fmt.Sprintf("page-%d", size), PageSize: size, sql: itemsSQL})
	}
	for _, mode := range []string{"truncate", "persist", "memory", "off", "wal"} {
		all = append(all, Variant{Name: mode, JournalMode: mode, sql: itemsSQL})
	}
	all = append(all,
		Variant{Name: "wal-page-512", JournalMode: "wal", PageSize: 512, sql: itemsSQL},
		Variant{Name: "wal-page-65536", JournalMode: "wal", PageSize: 65536, sql: itemsSQL},
		Variant{Name: "wal-unfolded", JournalMode: "wal", Unfolded: true, sql: itemsSQL},
		Variant{Name: "utf16le", pragmas: "PRAGMA encoding='UTF-16le'", sql: itemsSQL},
		Variant{Name: "utf16be", pragmas: "PRAGMA encoding='UTF-16be'", sql: itemsSQL},
		Variant{Name: "auto-vacuum-full", PageSize: 512, pragmas: "PRAGMA auto_vacuum=full", sql: itemsSQL + manyPages},
		Variant{Name: "auto-vacuum-incremental", PageSize: 512, pragmas: "PRAGMA auto_vacuum=incremental", sql: itemsSQL + manyPages},
		Variant{Name: "free-pages", sql: manyPages},
		Variant{Name: "reserved-bytes", reserve: 32, sql: itemsSQL + manyPages},
		Variant{Name: "identified", sql: "PRAGMA user_version=-7; PRAGMA application_id=2147483647; CREATE TABLE x(y)"},
		Variant{Name: "many-tables", sql: strings.Join(createTables(300), ";")},
		Variant{Name: "nothing", bare: true},
		Variant{Name: "no-tables", bare: true, sql: "PRAGMA user_version=1"},
	)
	for _, name := range slices.Sorted(maps.Keys(features)) {
		all = append(all, Variant{Name: name, sql: features[name]})
	}
	for i := range all {
		v := &all[i]
		if v.PageSize == 0 {
			v.PageSize = 4096
		}
		if v.JournalMode == "" {
			v.JournalMode = "delete"
		}
		if !v.bare {
			v.Sum = variantAccounts * variantOpening
		}
	}
	return all
}

// manyPages grows the file and gives most of it back to the freelist.
const manyPages = `
CREATE TABLE bulk(id INTEGER PRIMARY KEY, data BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 400)
INSERT INTO bulk SELECT i, zeroblob(900) FROM n;
DELETE FROM bulk WHERE id % 5 > 0;`

func createTables(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("CREATE TABLE t%d(a INTEGER PRIMARY KEY, b TEXT UNIQUE CHECK(length(b) < 100))", i)
	}
	return list
}

// features are kinds of tables and schema objects, by name.
var features = map[string]string{
	"without-rowid": `CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500)
		INSERT INTO kv SELECT 'key '||(i*7919%1009), zeroblob(i) FROM n;`,
	"fts5": `CREATE VIRTUAL TABLE search USING fts5(title, body);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200)
		INSERT INTO search SELECT 'title '||i, 'naïve café number '||(i*i) FROM n;
		DELETE FROM search WHERE rowid % 3 = 0;`,
	"fts5-contentless": `CREATE VIRTUAL TABLE search USING fts5(body, content='');
		INSERT INTO search(rowid, body) VALUES(1, 'one'), (2, 'two');`,
	"rtree": `CREATE VIRTUAL TABLE places USING rtree(id, x0, x1, y0, y1);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500)
		INSERT INTO places SELECT i, i%37, i%37+1, i%11, i%11+2 FROM n;`,
	"generated-columns": `CREATE TABLE g(a INTEGER, b INTEGER GENERATED ALWAYS AS (a*2) VIRTUAL, c TEXT AS ('n'||a) STORED);
		CREATE INDEX g_b ON g(b); INSERT INTO g(a) VALUES(1), (2), (3);`,
	"strict": `CREATE TABLE s(id INTEGER PRIMARY KEY, t TEXT, i INT, r REAL, b BLOB, a ANY) STRICT;
		INSERT INTO s VALUES(1, 'x', 2, 3.5, x'00', 'any'), (2, NULL, NULL, NULL, NULL, NULL);`,
	"odd-indexes": `CREATE TABLE o(a TEXT COLLATE NOCASE, b, c);
		CREATE INDEX o_part ON o(a DESC) WHERE b > 3; CREATE INDEX o_expr ON o(lower(a)||b); CREATE UNIQUE INDEX o_c ON o(c);
		INSERT INTO o VALUES('Ab', 1, 1), ('aB', 5, NULL), ('z', 9, NULL);`,
	"triggers-and-views": `CREATE TABLE a(x); CREATE TABLE log(x); CREATE VIEW v AS SELECT x*2 AS y FROM a;
		CREATE TRIGGER a_added AFTER INSERT ON a BEGIN INSERT INTO log VALUES(new.x); END;
		CREATE TRIGGER v_added INSTEAD OF INSERT ON v BEGIN INSERT INTO a VALUES(new.y/2); END;
		INSERT INTO v VALUES(8);`,
	"long-values":   `CREATE TABLE l(id INTEGER PRIMARY KEY, b BLOB); INSERT INTO l VALUES(1, zeroblob(700000)), (9223372036854775807, 'end');`,
	"odd-names":     `CREATE TABLE "sélect ""; -- '"("a b" TEXT, "日本" INT); INSERT INTO "sélect ""; -- '" VALUES('x', 1);`,
	"autoincrement": `CREATE TABLE seq(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO seq(v) VALUES(1), (2); DELETE FROM seq; ANALYZE;`,
}

// Create makes the database as data.db in a directory of its own and returns its path.
func (v Variant) Create(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	v.CreateAt(t, path)
	return path
}

// CreateAt makes the database at path, which must not exist.
func (v Variant) CreateAt(t testing.TB, path string) {
	t.Helper()
	if err := v.create(path); err != nil {
		t.Fatalf("make variant %s: %v", v.Name, err)
	}
	CheckAtEnd(t, path)
}

func (v Variant) create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if v.reserve > 0 {
		if err := v.reserveBytes(path); err != nil {
			return err
		}
	}
	script := []string{fmt.Sprintf("PRAGMA synchronous=off; PRAGMA page_size=%d", v.PageSize), v.pragmas}
	if v.bare && v.sql == "" {
		return nil
	}
	script = append(script, "PRAGMA journal_mode="+v.JournalMode, "BEGIN")
	if v.bare {
		script = append(script, v.sql, "COMMIT")
	} else {
		script = append(script, fmt.Sprintf(ledgerSchema, variantAccounts, variantOpening, v.PageSize/3), v.sql, "COMMIT")
	}
	if v.Unfolded {
		script = append(script, "PRAGMA wal_checkpoint(truncate); PRAGMA wal_autocheckpoint=0",
			"DELETE FROM items WHERE id > 250", "INSERT INTO items SELECT id+1000, name, zeroblob(3000) FROM items",
			transferSQL(1, 2, 3))
	}
	return run(path, strings.Join(script, ";\n"), !v.Unfolded)
}

// run executes a script; fold says whether closing folds a WAL in, as SQLite does.
func run(path, script string, fold bool) (err error) {
	c, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if fold {
		if err := c.CheckpointOnClose(); err != nil {
			return err
		}
	}
	return c.Exec(context.Background(), script)
}

// reserveBytes makes page 1 with unused bytes at the end of every page, which
// no pragma can do: SQLite file format §1.3.4, and §1.6 for the start of the
// cell content area.
func (v Variant) reserveBytes(path string) error {
	if err := run(path, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA user_version=1", v.PageSize), true); err != nil {
		return err
	}
	page, err := os.ReadFile(path) // no connection has it open yet
	if err != nil {
		return err
	}
	usable := v.PageSize - v.reserve
	page[20] = byte(v.reserve)
	page[105], page[106] = byte(usable>>8), byte(usable)
	return os.WriteFile(path, page, 0o600)
}
