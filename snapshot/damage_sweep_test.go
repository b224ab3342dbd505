package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// history is a database with every kind of page, as it was when the old backup was made, and as it is.
type history struct {
	name     string
	old, now []byte
	pageSize int
	owners   []string        // what each page belongs to: "table …", "index …", schema, free
	was, is  map[string]bool // rows as text, each with its table
	template string          // a directory with the database and its backups: full, old, none
}

// damagedPage writes over a page as a disk can.
type damagedPage struct {
	name string
	do   func(rnd *rand.Rand, h *history, page int) []byte // nil where there is no such damage
}

var pageDamages = []damagedPage{
	{"older copy", func(_ *rand.Rand, h *history, n int) []byte {
		if (n+1)*h.pageSize > len(h.old) || bytes.Equal(h.page(h.old, n), h.page(h.now, n)) {
			return nil
		}
		return h.page(h.old, n)
	}},
	{"copy of another page", func(rnd *rand.Rand, h *history, n int) []byte {
		from := rnd.IntN(len(h.owners))
		if bytes.Equal(h.page(h.now, from), h.page(h.now, n)) {
			return nil
		}
		return h.page(h.now, from)
	}},
	{"zeros", func(_ *rand.Rand, h *history, n int) []byte { return make([]byte, h.pageSize) }},
	{"random", func(rnd *rand.Rand, h *history, n int) []byte {
		b := make([]byte, h.pageSize)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}},
	{"bit flip", func(rnd *rand.Rand, h *history, n int) []byte {
		b := bytes.Clone(h.page(h.now, n))
		b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		return b
	}},
	{"torn", func(rnd *rand.Rand, h *history, n int) []byte {
		b := bytes.Clone(h.page(h.now, n))
		half := h.pageSize / 2
		if (n+1)*h.pageSize <= len(h.old) {
			copy(b[half:], h.page(h.old, n)[half:])
		} else {
			clear(b[half:])
		}
		if bytes.Equal(b, h.page(h.now, n)) {
			return nil
		}
		return b
	}},
	{"empty", func(_ *rand.Rand, h *history, n int) []byte {
		b := make([]byte, h.pageSize)
		switch h.page(h.now, n)[0] {
		case 5, 13: // a table's
			b[0] = 13
		case 2, 10:
			b[0] = 10
		default:
			return nil
		}
		b[5], b[6] = byte(h.pageSize>>8), byte(h.pageSize)
		return b
	}},
}

func (h *history) page(b []byte, n int) []byte { return b[n*h.pageSize : (n+1)*h.pageSize] }

const sweepSchema = `
CREATE TABLE item(id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT, price INT);
CREATE INDEX item_name ON item(name);
CREATE TABLE plain(a TEXT, b INT);
CREATE TABLE bare(k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
CREATE TABLE file(id INTEGER PRIMARY KEY, at INT, data BLOB);
CREATE INDEX file_at ON file(at);
CREATE TABLE gone(x TEXT);
CREATE VIEW dear AS SELECT * FROM item WHERE price > 50;
CREATE TRIGGER item_gone AFTER DELETE ON item BEGIN DELETE FROM file WHERE id = old.id; END;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<120) INSERT INTO item SELECT i, 'C'||i, 'a name of some length '||(i*37%120), i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60) INSERT INTO plain SELECT 'some words of row '||i, i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60) INSERT INTO bare SELECT 'key '||i, 'value '||i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<12) INSERT INTO file SELECT i, i*10, randomblob(900+i*300) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60) INSERT INTO gone SELECT 'will be deleted '||i FROM n;`

const sweepChanges = `
UPDATE item SET name = 'renamed '||id WHERE id % 9 = 0;
WITH RECURSIVE n(i) AS (SELECT 121 UNION ALL SELECT i+1 FROM n WHERE i<170) INSERT INTO item SELECT i, 'C'||i, 'a name of some length '||(i*37%120), i FROM n;
DELETE FROM item WHERE id % 31 = 0;
WITH RECURSIVE n(i) AS (SELECT 61 UNION ALL SELECT i+1 FROM n WHERE i<90) INSERT INTO plain SELECT 'some words of row '||i, i FROM n;
WITH RECURSIVE n(i) AS (SELECT 61 UNION ALL SELECT i+1 FROM n WHERE i<90) INSERT INTO bare SELECT 'key '||i, 'value '||i FROM n;
INSERT INTO file SELECT id+20, at+1, randomblob(1200) FROM file WHERE id < 5;
DELETE FROM gone WHERE rowid > 5;`

// newHistory makes one with backups.
func newHistory(t *testing.T, pragmas string) *history {
	h := &history{name: pragmas, template: t.TempDir()}
	makeIn := func(what string, steps ...func(*bench)) string {
		path := filepath.Join(h.template, what, "data.db")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, h.old)
		b := benchOn(t, path)
		for _, step := range steps {
			step(b)
		}
		return path
	}
	path := makeIn("none", func(b *bench) { b.exec(pragmas + ";" + sweepSchema) })
	h.old, h.was = readFile(t, path), rowsAsText(t, path)
	path = makeIn("old", func(b *bench) { b.auto(); b.exec(sweepChanges) })
	h.now, h.is = readFile(t, path), rowsAsText(t, path)
	h.old, h.now = h.now, h.old // the next one begins with what is now
	makeIn("full", func(b *bench) { b.auto() })
	h.old, h.now = h.now, h.old
	if h.pageSize = int(h.now[16])<<8 | int(h.now[17]); h.pageSize == 1 {
		h.pageSize = 1 << 16
	}
	h.owners = pageOwners(t, path, len(h.now)/h.pageSize)
	return h
}

// pageOwners says what each page belongs to.
func pageOwners(t *testing.T, path string, pages int) []string {
	t.Helper()
	owners := slices.Repeat([]string{"free"}, pages)
	eachRow(t, path, "SELECT d.pageno, coalesce(m.type||' '||m.name, 'schema') FROM dbstat d LEFT JOIN sqlite_schema m ON m.name=d.name", func(st *sqlite.Stmt) {
		owners[st.Int(0)-1] = st.Text(1)
	})
	return owners
}

func eachRow(t *testing.T, path, query string, fn func(*sqlite.Stmt)) {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Each(t.Context(), query, func(st *sqlite.Stmt) error { fn(st); return nil }); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// rowsAsText has every row of the sweep's tables.
func rowsAsText(t *testing.T, path string) map[string]bool {
	t.Helper()
	rows := map[string]bool{}
	for _, q := range []string{"SELECT 'item', id, code, name, price FROM item NOT INDEXED", "SELECT 'plain', rowid, a, b FROM plain", "SELECT 'bare', k, v FROM bare",
		"SELECT 'file', id, at, hex(data) FROM file NOT INDEXED", "SELECT 'gone', rowid, x FROM gone"} {
		columns := strings.Count(q, ",") + 1
		if table := strings.Split(q, "'")[1]; rootOf(t, path, table) == 0 {
			continue // of what was salvaged
		}
		eachRow(t, path, q, func(st *sqlite.Stmt) {
			var b strings.Builder
			for i := range columns {
				b.WriteString(st.Text(i) + "|")
			}
			rows[b.String()] = true
		})
	}
	return rows
}

// common counts the rows of b that a has.
func common(a, b map[string]bool) (n int64) {
	for row := range b {
		if a[row] {
			n++
		}
	}
	return n
}

// A page is damaged in one of seven ways, with any content, next to a backup of the same state, an old one or
// none; by itself, or together with an index, so that a recovery acts on what no check sees. Lost: rows that the
// better of repair and backup would have kept, or that salvage still finds, without a word.
func TestRecoverDamagedAnywhere(t *testing.T) {
	t.Parallel()
	n, done, pick := 0, map[string]int{}, rand.New(rand.NewPCG(1, 2))
	meets := func(int) bool { return pick.IntN(97) == 0 }
	if part, sweeping := testdb.SweepPart(t); sweeping {
		meets = part.Has
	}
	for _, pragmas := range []string{"PRAGMA page_size=512", "PRAGMA page_size=1024; PRAGMA auto_vacuum=1", "PRAGMA page_size=4096", "PRAGMA page_size=65536; PRAGMA encoding='UTF-16le'"} {
		h := newHistory(t, pragmas)
		rnd := rand.New(rand.NewPCG(3, 5))
		for page := range h.owners {
			for _, d := range pageDamages {
				b := d.do(rnd, h, page)
				for i := range 6 {
					backup, both := []string{"full", "old", "none"}[i%3], i > 2
					if n++; !meets(n) || b == nil {
						continue
					}
					damaged := bytes.Clone(h.now)
					what := fmt.Sprintf("%s/page %d of %s/%s/backup %s", pragmas, page+1, h.owners[page], d.name, backup)
					if both {
						clear(h.page(damaged, slices.Index(h.owners, "index item_name")))
						what += "/and item_name"
					}
					copy(damaged[page*h.pageSize:], b)
					done[h.recoverFrom(t, what, damaged, backup, both)]++
				}
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(done)) {
		t.Logf("%5d %s", done[k], k)
	}
	if n < 1000 || done["repaired"] == 0 || done["restored"] == 0 {
		t.Errorf("%d damages: the sweep shows little", n)
	}
}

// recoverFrom recovers a damaged database and holds what is left against what could be; it returns
// what was done.
func (h *history) recoverFrom(t *testing.T, what string, damaged []byte, backup string, both bool) string {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(h.template, backup))); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "data.db")
	writeFile(t, path, damaged)
	testdb.Damaged(t, path)
	b := benchOn(t, path, func(c *snapshot.Config) { c.RecoverLevel = snapshot.LevelFull })
	if backup == "full" {
		b.fresh() // a disk changes no time stamps
	}
	rec, err := b.m.Recover(t.Context())
	if err != nil {
		if backup != "none" && !errors.Is(err, snapshot.ErrCorrupt) || backup == "none" && !errors.Is(err, snapshot.ErrNoUsableBackup) && !errors.Is(err, snapshot.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if !bytes.Equal(readFile(t, path), damaged) {
			t.Errorf("%s: failed, and yet the database is another one", what)
		}
		return "nothing helps"
	}
	if rec.Action == snapshot.ActionNone {
		return "not seen by SQLite's full check"
	}
	left := rowsAsText(t, path)
	kept, all, said := common(left, h.is), int64(len(h.is)), int64(0)
	if rec.Action == snapshot.ActionRepaired {
		gone, differ := rec.Repair.OnlyInBackup()
		said = rec.Repair.RowsLost() + gone + differ
		for _, l := range rec.Repair.Lost {
			said += l.Doubtful
		}
	} else if rec.Unrestored != nil {
		said = *rec.Unrestored
	}
	missing, readable := all-kept, common(minus(h.salvage(t, path, rec), left), h.is)
	old := common(minus(h.was, left), h.is) // that the old backup has
	switch {
	case backup == "full" && missing > 0:
		t.Errorf("%s: %s, %d of %d rows are left, and the backup has all: %s", what, rec.Action, kept, all, rec.Reason)
	case readable > said:
		t.Errorf("%s: %s, %d rows can still be read and are not there, and %d are said to be: %s", what, rec.Action, readable, said, rec.Reason)
	case rec.Action == snapshot.ActionRepaired && backup == "old" && old > said:
		t.Errorf("%s: repaired, %d rows are gone that the backup has, and %d are said to be: %s", what, old, said, rec.Repair.Summary())
	case rec.Action == snapshot.ActionRepaired && both && missing > said:
		for _, table := range []string{"plain", "bare", "gone"} { // that have no index
			if n := ofTable(table, minus(h.is, left)); n > 0 && !slices.Contains(rec.Repair.Unproven, table) {
				t.Errorf("%s: repaired, %d rows of %s are gone, and it is not said that there may have been more: %s", what, n, table, rec.Repair.Summary())
			}
		}
		return "repaired, with a loss that nothing shows" // no index and no backup knows it
	case rec.Action == snapshot.ActionRepaired && missing > said:
		t.Errorf("%s: repaired, %d rows are gone and %d are said to be: %s", what, missing, said, rec.Repair.Summary())
	case rec.Action == snapshot.ActionRepaired && backup == "old" && !both && kept < common(h.was, h.is):
		t.Errorf("%s: repaired to %d rows, and the backup has %d: %s", what, kept, common(h.was, h.is), rec.Reason)
	case rec.Action == snapshot.ActionRestored && backup == "old" && !strings.HasPrefix(h.ownerOf(what), "table"):
		return "restored an old backup, of " + h.ownerOf(what)
	}
	return string(rec.Action)
}

// salvage returns the rows that salvage takes out of the damaged file that a recovery kept.
func (h *history) salvage(t *testing.T, path string, rec snapshot.Recovery) map[string]bool {
	t.Helper()
	to := filepath.Join(t.TempDir(), "salvaged.db")
	dir := filepath.Join(filepath.Dir(path), "backups")
	_, err := snapshot.Salvage(t.Context(), *rec.Quarantined, to, snapshot.SalvageOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return rowsAsText(t, to)
}

// ofTable counts the rows of one table.
func ofTable(table string, rows map[string]bool) (n int) {
	for row := range rows {
		if strings.HasPrefix(row, table+"|") {
			n++
		}
	}
	return n
}

// minus are the rows of a that b has not.
func minus(a, b map[string]bool) map[string]bool {
	rest := maps.Clone(a)
	maps.DeleteFunc(rest, func(row string, _ bool) bool { return b[row] })
	return rest
}

func (h *history) ownerOf(what string) string {
	_, owner, _ := strings.Cut(what, " of ")
	owner, _, _ = strings.Cut(owner, "/")
	return owner
}
