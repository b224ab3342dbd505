package snapshot_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// emptied is the leaf of a table without rows.
func emptied(pageSize int) []byte {
	b := make([]byte, pageSize)
	b[0], b[5], b[6] = 13, byte(pageSize>>8), byte(pageSize)
	return b
}

// A table and its only index are damaged, so that nothing in the database says what rows there were. Lost otherwise: 40
// rows that the backup has, for the 5 that were added to another table since.
func TestRecoverTakesTheBackupOfAnEmptiedTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	writeFile(t, path, nil)
	b := benchOn(t, path)
	b.exec(`PRAGMA page_size=4096; CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT UNIQUE); CREATE TABLE other(a);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40) INSERT INTO t SELECT i, 'c'||i FROM n`)
	b.auto()
	b.exec("INSERT INTO other VALUES(1),(2),(3),(4),(5)")
	damaged := readFile(t, path)
	copy(damaged[rootOf(t, path, "t")*4096-4096:], emptied(4096))
	clear(damaged[rootOf(t, path, "sqlite_autoindex_t_1")*4096-4096:][:4096])
	writeFile(t, path, damaged)
	testdb.Damaged(t, path)
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Action != snapshot.ActionRestored || !strings.Contains(rec.Reason, "it loses 5 rows, a repair 40") || rec.Unrestored == nil || *rec.Unrestored != 5 {
		t.Errorf("%s, %v: %s", rec.Action, err, rec.Reason)
	}
	if n := countRows(t, path, "t"); n != 40 {
		t.Errorf("%d rows of t are left", n)
	}
}

// A table without an index is empty, as a lost or misplaced write leaves it, and an index of another table is
// damaged. No index knows the rows, the newest backup does. Lost otherwise: all of them, by a repair that says
// that it loses nothing.
func TestRecoverComparesRowsWithTheBackup(t *testing.T) {
	t.Parallel()
	const schema = `PRAGMA page_size=4096; CREATE TABLE plain(a TEXT); CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT UNIQUE);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40) INSERT INTO plain SELECT 'row '||i FROM n;
		INSERT INTO t SELECT rowid, a FROM plain;`
	for _, c := range []struct {
		name, since string
		action      snapshot.Action
		plain, t    int
		says        string
	}{
		{"nothing committed since", "", snapshot.ActionRestored, 40, 40, "nothing was committed since the newest backup"},
		{"rows deleted since", "DELETE FROM t WHERE id > 35", snapshot.ActionRestored, 40, 40, "every row that a repair saves, and 45 more"},
		{"rows added since", "INSERT INTO t VALUES(100, 'new')", snapshot.ActionRepaired, 0, 41, "of the newest backup's rows it lacks 40"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			writeFile(t, path, nil)
			b := benchOn(t, path)
			b.exec(schema)
			b.auto()
			if c.since != "" {
				b.exec(c.since)
			}
			damaged := readFile(t, path)
			copy(damaged[rootOf(t, path, "plain")*4096-4096:], emptied(4096))
			clear(damaged[rootOf(t, path, "sqlite_autoindex_t_1")*4096-4096:][:4096])
			writeFile(t, path, damaged)
			testdb.Damaged(t, path)
			if c.since == "" {
				b.fresh()
			}
			rec, err := b.m.Recover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if rec.Action != c.action || !strings.Contains(rec.Reason, c.says) {
				t.Errorf("%s: %s", rec.Action, rec.Reason)
			}
			if plain, u := countRows(t, path, "plain"), countRows(t, path, "t"); plain != c.plain || u != c.t {
				t.Errorf("%d and %d rows, want %d and %d", plain, u, c.plain, c.t)
			}
			if rec.Action == snapshot.ActionRepaired && (len(rec.Repair.BackupOnly) != 1 || rec.Repair.BackupOnly[0].Gone != 40 || strings.Contains(rec.Repair.Summary(), "without losing")) {
				t.Errorf("%+v: %s", rec.Repair.BackupOnly, rec.Repair.Summary())
			}
		})
	}
}

// A page of a table without an index is an older copy of itself, and an index of another table is damaged. Nothing says what is gone. Lost
// otherwise: rows, to a plan that says "0" and a person who believes it. Where a backup of that very state proves it, it says so.
func TestPlanClaimsNoRowsLostOnlyWithProof(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		backup bool   // of the state before the damage
		older  bool   // the page of plain is an older copy
		index  string // damaged
		proven bool
		left   int // rows of plain
	}{
		{"an index of another table", false, true, "t_d", false, 40},
		{"nothing else", false, false, "t_d", false, 60},
		{"with a backup of that state", true, false, "t_d", true, 60},
		{"with a backup of that state, and an older page", true, true, "t_d", true, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			writeFile(t, path, nil)
			b := benchOn(t, path)
			b.exec(`PRAGMA page_size=4096; CREATE TABLE plain(a TEXT); CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT UNIQUE, d TEXT); CREATE INDEX t_d ON t(d);
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40) INSERT INTO plain SELECT 'row '||i FROM n;
				INSERT INTO t SELECT rowid, a, 'x'||a FROM plain`)
			old := readFile(t, path)
			b.exec("INSERT INTO plain SELECT a FROM plain LIMIT 20")
			damaged := readFile(t, path)
			if c.backup {
				b.auto()
			}
			page := (rootOf(t, path, "plain") - 1) * 4096
			if c.older {
				copy(damaged[page:page+4096], old[page:page+4096])
			}
			clear(damaged[rootOf(t, path, c.index)*4096-4096:][:4096])
			writeFile(t, path, damaged)
			testdb.Damaged(t, path)
			o := b.plan().Options[0]
			if known := o.RowsLost != nil; known != c.proven || known && o.Action == snapshot.ActionRepaired && *o.RowsLost != 0 {
				t.Errorf("%s: %v rows lost, %s", o.Action, o.RowsLost, o.Loses)
			}
			rec, err := b.m.Recover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n := countRows(t, path, "plain"); n != c.left {
				t.Errorf("%d rows are left, want %d: %s", n, c.left, rec.Reason)
			}
			if unknown := rec.Repair != nil && slices.Equal(rec.Repair.Unproven, []string{"plain"}) && strings.Contains(rec.Repair.Summary(), "plain"); unknown == c.proven {
				t.Errorf("%+v", rec.Repair)
			}
			if seen := len(b.status().Recovered) == 0; seen != (c.proven && rec.Action == snapshot.ActionRepaired) && !c.backup {
				t.Errorf("it is reported: %v", !seen)
			}
		})
	}
}

// Page 1 is an older copy of itself, by a write that was lost, and an index is damaged: the header counts no commit since the backup.
// Lost otherwise: what was committed, to the backup; or rows that had a page of their own, to a repair that says that it loses none.
func TestRecoverDoesNotBelieveTheHeaderAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, since string
		lost        []string // tables whose root is an older copy, too
		left        string   // of plain, as it has to be said
		gone        int64    // rows that a repair leaves out, -1: not known
	}{
		{"rows changed", "UPDATE plain SET a='new '||rowid WHERE rowid<=20", nil, "40 rows, 20 new", -1},
		{"rows exchanged", "DELETE FROM plain WHERE rowid<=10; INSERT INTO plain SELECT 'new '||id FROM t WHERE id<=10", nil, "40 rows, 10 new", -1},
		{"rows on pages of their own", "INSERT INTO plain SELECT 'new '||u.id FROM t, t AS u", []string{"plain"}, "40 rows, 0 new", 1600},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			writeFile(t, path, nil)
			b := benchOn(t, path)
			b.exec(`PRAGMA page_size=4096; CREATE TABLE plain(a TEXT); CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT UNIQUE, d TEXT); CREATE INDEX t_d ON t(d);
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40) INSERT INTO plain SELECT 'row '||i FROM n;
				INSERT INTO t SELECT rowid, a, 'x'||a FROM plain`)
			b.auto()
			old := readFile(t, path)
			b.exec(c.since)
			damaged := readFile(t, path)
			copy(damaged, old[:4096])
			for _, table := range c.lost {
				at := (rootOf(t, path, table) - 1) * 4096
				copy(damaged[at:], old[at:at+4096])
			}
			clear(damaged[rootOf(t, path, "t_d")*4096-4096:][:4096])
			writeFile(t, path, damaged)
			testdb.Damaged(t, path)
			gone := int64(-1)
			o := b.plan().Options[0]
			if o.RowsLost != nil {
				gone = *o.RowsLost
			}
			if o.Action != snapshot.ActionRepaired || gone != c.gone {
				t.Errorf("%s: %d rows lost, %s", o.Action, gone, o.Loses)
			}
			rec, err := b.m.Recover(t.Context())
			if err != nil || rec.Action != snapshot.ActionRepaired {
				t.Errorf("%s, %v: %s", rec.Action, err, rec.Reason)
			}
			if kept, err := b.m.Quarantines(); err != nil || len(kept) != 1 || kept[0].Unrestored != nil { // it goes before others where it has nothing more
				t.Errorf("%+v, %v", kept, err)
			}
			if c.gone > 0 && (len(b.status().Recovered) != 1 || rec.Repair.RowsLost() != c.gone) {
				t.Errorf("%+v, %d rows lost", b.status().Recovered, rec.Repair.RowsLost())
			}
			eachRow(t, path, "SELECT count(*) || ' rows, ' || sum(a LIKE 'new%') || ' new' FROM plain", func(st *sqlite.Stmt) {
				if left := st.Text(0); left != c.left {
					t.Errorf("%s, want %s: %s", left, c.left, rec.Reason)
				}
			})
		})
	}
}

func rootOf(t *testing.T, path, name string) (root int) {
	t.Helper()
	eachRow(t, path, "SELECT rootpage FROM sqlite_schema WHERE name="+sqlite.QuoteText(name), func(st *sqlite.Stmt) { root = int(st.Int(0)) })
	return root
}

func countRows(t *testing.T, path, table string) (n int) {
	t.Helper()
	eachRow(t, path, "SELECT count(*) FROM "+table+" NOT INDEXED", func(st *sqlite.Stmt) { n = int(st.Int(0)) })
	return n
}

// Lost: rows, said to be none, where they could not be compared with the backup that has them.
func TestRecoverDoesNotClaimWhatItDidNotCompare(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string, bytes int64){
		"all of it": func(t *testing.T, path string, _ int64) { testdb.Overwrite(t, path, 0, make([]byte, 64)) },
		"a frame":   func(t *testing.T, path string, bytes int64) { testdb.FlipByte(t, path, bytes/2) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "delete")
			e := b.auto()
			b.mark("newer")
			loseIndexRoot(t, b.m.Database())
			damage(t, b.m.ArchivePath(e), e.ArchiveBytes)
			p := b.plan()
			if o := p.Options[0]; p.Action != snapshot.ActionRepaired || o.RowsLost != nil || strings.Contains(o.Loses, "without losing") || strings.HasPrefix(o.Loses, "no") || strings.Contains(p.Reason, "loses nothing") {
				t.Errorf("plan %s, %q: loses %q, %v rows", p.Action, p.Reason, o.Loses, o.RowsLost)
			}
			if rec := b.repairs(); rec.Repair.NotCompared == "" || strings.Contains(rec.Repair.Summary(), "without losing") {
				t.Errorf("%+v", rec.Repair)
			}
			if r := b.status().Recovered; len(r) != 1 || !strings.Contains(r[0].Loses, "may be lost") {
				t.Errorf("status: %+v", r)
			}
		})
	}
}
