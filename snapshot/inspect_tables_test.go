package snapshot_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// backupOf makes a database with script and backs it up.
func backupOf(t *testing.T, script ...string) (*bench, snapshot.Backup) {
	t.Helper()
	b := newBench(t, "wal")
	db := testdb.Open(t, b.m.Database())
	for _, q := range script {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%.200s: %v", q, err)
		}
	}
	return b, b.manual()
}

func (b *bench) tables(id string) map[string]snapshot.Table {
	b.t.Helper()
	list, err := b.m.Tables(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]snapshot.Table{}
	for i, table := range list {
		if i > 0 && list[i-1].Name >= table.Name {
			b.t.Errorf("%q after %q", table.Name, list[i-1].Name)
		}
		found[table.Name] = table
	}
	return found
}

// show is a table in one word.
func show(t snapshot.Table) string {
	rows := "?"
	if t.Rows != nil {
		rows = fmt.Sprint(*t.Rows)
	}
	return fmt.Sprintf("%s %d %s", t.Type, t.Columns, rows)
}

// Lost: what a backup holds, before one restores it.
func TestTables(t *testing.T) {
	t.Parallel()
	b, e := backupOf(t,
		`CREATE TABLE "odd ""name' x"(a, b, c AS (a+b), d AS (a*b) STORED)`,
		`INSERT INTO "odd ""name' x" VALUES (1,2),(3,4)`,
		"CREATE TABLE keyed(k PRIMARY KEY, v) WITHOUT ROWID", "INSERT INTO keyed VALUES(1,1),(2,2),(3,3)",
		"CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT)",
		"CREATE VIEW counted AS SELECT count(*) AS n, 1 AS one FROM keyed",
		"CREATE TABLE gone(x)", "CREATE VIEW orphan AS SELECT x FROM gone", "DROP TABLE gone",
		"CREATE VIRTUAL TABLE words USING fts5(title, body)", "INSERT INTO words VALUES('a','b')",
		"CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)")
	before := b.stored()
	found := b.tables("latest")
	for name, want := range map[string]string{
		`odd "name' x`: "table 4 2", "keyed": "table 2 3", "auto": "table 1 0", "counted": "view 2 ?", "orphan": "view 0 ?",
		"words": "virtual 2 ?", "boxes": "virtual 3 ?",
	} {
		if got, ok := found[name]; !ok || show(got) != want {
			t.Errorf("%s: %s, want %s", name, show(got), want)
		}
	}
	for _, hidden := range []string{"sqlite_sequence", "words_data", "boxes_node"} {
		if _, ok := found[hidden]; ok {
			t.Errorf("%s is none of the user's tables", hidden)
		}
	}
	if b.stored() != before {
		t.Error("looking changed the backup directory")
	}
	if _, err := b.m.Tables(t.Context(), "nosuch"); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("no such backup: %v", err)
	}
	b.damageArchive(e)
	if list, err := b.m.Tables(t.Context(), e.ID); !errors.Is(err, snapshot.ErrCorrupt) {
		t.Errorf("a damaged archive: %v, %v", list, err)
	}
}

// Lost: the page, and a core of the server, to an uploaded file: views
// that double with each other, names without end, schemas that compute.
func TestTablesOfUntrustedSchemas(t *testing.T) {
	t.Parallel()
	doubling := []string{"CREATE VIEW v0 AS SELECT 1 AS a"}
	for i := 1; i <= 40; i++ {
		doubling = append(doubling, fmt.Sprintf("CREATE VIEW v%d AS SELECT x.a FROM v%d x, v%d y", i, i-1, i-1))
	}
	// Views, written to the schema at once: as many CREATE statements take seconds.
	many := []string{`PRAGMA writable_schema = on;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i <= 10000)
		INSERT INTO sqlite_schema SELECT 'view', 'v'||i, 'v'||i, 0, 'CREATE VIEW v'||i||' AS SELECT 1 AS a' FROM n;
		PRAGMA writable_schema = reset`}
	for name, c := range map[string]struct {
		script []string
		err    error
		name   string
		want   string
	}{
		"views that double": {script: doubling, name: "v1", want: "view 1 ?"},
		"a view that counts to infinity": {name: "endless", want: "view 1 ?",
			script: []string{"CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) AS m FROM n"}},
		"a column that computes": {name: "huge", want: "table 2 1",
			script: []string{"CREATE TABLE huge(a, b AS (hex(zeroblob(400000000))))", "INSERT INTO huge VALUES(1)"}},
		"a long name": {name: strings.Repeat("n", 100_000), want: "table 1 0",
			script: []string{"CREATE TABLE " + strings.Repeat("n", 100_000) + "(x)"}},
		"too many tables": {script: many, err: snapshot.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			b, e := backupOf(t, c.script...)
			began := time.Now()
			list, err := b.m.Tables(t.Context(), e.ID)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			for _, table := range list {
				if table.Name == c.name && show(table) != c.want {
					t.Errorf("%.20s: %s, want %s", table.Name, show(table), c.want)
				}
			}
			if c.err == nil && len(list) < 10 {
				t.Errorf("only %d tables", len(list))
			}
		})
	}
}

// Lost: the page, to an archive whose digests are right and whose schema is noise.
func TestTablesOfNoise(t *testing.T) {
	t.Parallel()
	b, e := backupOf(t, "CREATE VIRTUAL TABLE words USING fts5(title)", "CREATE VIEW w AS SELECT * FROM words")
	image := stockImage(t, b.m.ArchivePath(e))
	r := rand.New(rand.NewPCG(1, 2))
	listed := 0
	for trial := range 40 {
		broken := slices.Clone(image)
		for range 1 + r.IntN(20) {
			broken[100+r.IntN(len(broken)-100)] = byte(r.Uint32())
		}
		if trial%2 == 0 { // in the schema's first page
			for range 1 + r.IntN(3) {
				broken[100+r.IntN(3900)] = byte(r.Uint32())
			}
		}
		packArchive(t, b.m.ArchivePath(e), broken, 1)
		if _, err := b.m.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		list, err := b.m.Tables(t.Context(), e.ID)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("trial %d took %v", trial, took)
		}
		if err != nil && snapshot.Code(err) == "failed" {
			t.Logf("trial %d: %v", trial, err)
		}
		listed += len(list)
	}
	if listed == 0 {
		t.Error("nothing was ever listed: the trials prove little")
	}
}
