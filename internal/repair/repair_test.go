package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// mustRepair are fixtures whose damage costs no row, or only what the log cannot prove.
var mustRepair = []string{
	"cut_page_count_fixed", "header_version", "header_fractions", "header_encoding", "header_encoding_other", "freelist_count", "fts5_index_gone", "header_freelist", "index_key_changed",
	"index_row_extra", "index_row_missing", "index_row_missing_behind_rules", "pointer_map", "schema_auto_index_row_gone",
	"wal_frame_damaged", "wal_frame_salt_damaged", "wal_frame_sum_damaged", "wal_frame_sum_damaged_before_commit",
	"wal_header_damaged", "wal_magic_damaged", "wal_stale_tail_no_index",
}

// A copy that Copy calls whole is whole, and has the rows that the C shell finds in the
// damaged file. Lost otherwise: half a day of work, to an old backup, for damage that
// costs no row; or rows, to a repair that only looks like one.
func TestRepairFixtures(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob(filepath.Join(corpus, "*.want"))
	if err != nil || len(all) < 50 {
		t.Fatalf("%d fixtures, %v", len(all), err)
	}
	for _, file := range all {
		name := strings.TrimSuffix(filepath.Base(file), ".want")
		if !wantsCorrupt(t, file) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			path := stage(t, strings.TrimSuffix(file, ".want")+".db")
			rep := checkFull(t, path)
			before := ""
			if left, err := livedb.Sidecars(path); err == nil && len(left) == 0 {
				before = dump(t, path)
			}
			m, err := Copy(t.Context(), path, rep, Options{})
			if errors.Is(err, ErrNotRepairable) {
				if slices.Contains(mustRepair, name) {
					t.Errorf("given up: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantWhole(t, path, m)
			// The shell may have read the damaged file by an index that lacks rows.
			after := strings.Split(dump(t, path), "\n")
			for line := range strings.SplitSeq(before, "\n") {
				if strings.HasPrefix(line, "INSERT") && !slices.Contains(after, line) {
					t.Errorf("the row is gone: %s", line)
				}
			}
		})
	}
}

func checkFull(t *testing.T, path string) integrity.Report {
	t.Helper()
	rep, err := integrity.Check(t.Context(), path, integrity.Options{Level: integrity.LevelFull})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// wantWhole holds the outcome of a repair that succeeded against a check of its own.
func wantWhole(t *testing.T, path string, m Result) {
	t.Helper()
	if left, err := livedb.Sidecars(path); err != nil || len(left) != 0 {
		t.Errorf("left next to the repaired file: %v, %v", left, err)
	}
	if rep := checkFull(t, path); rep.Damaged() || rep.Verdict != m.Report.Verdict {
		t.Errorf("repaired, and yet %s: %v", rep.Verdict, rep.Findings)
	}
}

// dump is what the C shell makes of the tables, "" where it is not there or cannot.
// Full-text tables are left to its own check.
func dump(t *testing.T, path string) string {
	t.Helper()
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Log("no sqlite3 shell here: rows are not compared with what it reads")
		return ""
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(shell, copied, ".dump --data-only --nosys").Output()
	if err != nil || bytes.Contains(out, []byte("_docsize")) {
		return ""
	}
	return string(out)
}

const orders = `PRAGMA page_size=1024;
CREATE TABLE item(id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT, price INT);
CREATE INDEX item_name ON item(name); CREATE INDEX item_price ON item(price DESC) WHERE price > 10;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)
INSERT INTO item SELECT i, 'C'||i, 'a name of some length '||(i*7919%3000), i FROM n;`

// Pages of an index are gone: REINDEX alone fails on its tree. Lost otherwise: rows,
// though the tables are whole.
func TestRepairDamagedIndexTree(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"item_name", "sqlite_autoindex_item_1", "item_price"} {
		for _, what := range []string{"root", "leaf", "every page"} {
			t.Run(name+"/"+what, func(t *testing.T) {
				path := makeDB(t, "x.db", orders)
				zeroTree(t, path, name, what)
				rep := checkFull(t, path)
				if rep.Verdict != integrity.Corrupt {
					t.Fatalf("%s: %v", rep.Verdict, rep.Findings)
				}
				i := slices.IndexFunc(rep.Findings, func(f integrity.Finding) bool { return f.Repair == integrity.RepairRebuild })
				if i < 0 || !strings.Contains(rep.Findings[i].Message, name) {
					t.Errorf("no finding names the index: %v", rep.Findings)
				}
				m, err := Copy(t.Context(), path, rep, Options{})
				if err != nil {
					t.Fatal(err)
				}
				wantWhole(t, path, m)
				if !slices.Equal(m.Indexes, []string{name}) || m.Dropped != 0 {
					t.Errorf("%+v", m)
				}
				wantInt(t, path, "SELECT count(*)*1000+sum(price)%1000 FROM item NOT INDEXED", 3000*1000+3000*3001/2%1000)
			})
		}
	}
}

// Pages without an owner may hold rows where a table is stored as an index is, or
// where they look like a table's. Then a repair would throw them away for good.
func TestRepairLeavesWhatMayHoldRows(t *testing.T) {
	t.Parallel()
	t.Run("without rowid", func(t *testing.T) {
		path := makeDB(t, "x.db", orders+"CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES('a', 1)")
		leaf := firstLeaf(t, path, rootOf(t, path, "item_name"))
		page := readPage(t, path, leaf)
		page[len(page)-1]++ // an entry that is in no index, and so may be a row
		patch(t, path, (leaf-1)*1024, page)
		zeroTree(t, path, "item_name", "root")
		givenUp(t, path)
	})
	t.Run("a table's page", func(t *testing.T) {
		path := makeDB(t, "x.db", orders)
		root := rootOf(t, path, "item_name")
		leaf := firstLeaf(t, path, rootOf(t, path, "item"))
		patch(t, path, (root-1)*1024, make([]byte, 1024))
		page := readPage(t, path, leaf)
		page[len(page)-1]++ // the price of a row, which is so in no table
		grow(t, path, page) // and one more, that the header counts
		givenUp(t, path)
	})
	t.Run("table and index", func(t *testing.T) {
		path := makeDB(t, "x.db", orders)
		zeroTree(t, path, "item_name", "root")
		patch(t, path, (firstLeaf(t, path, rootOf(t, path, "item"))-1)*1024, make([]byte, 1024))
		givenUp(t, path)
	})
	t.Run("duplicate keys", func(t *testing.T) {
		scripts := behind("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE UNIQUE INDEX tb ON t(b); INSERT INTO t VALUES(1,'x')", "tb", "INSERT INTO t VALUES(2,'x')")
		path := makeDB(t, "x.db", scripts...)
		if rep := checkFull(t, path); rep.Verdict != integrity.Corrupt {
			t.Fatalf("%v", rep.Findings)
		}
		if err := givenUp(t, path); !strings.Contains(err.Error(), "same key") {
			t.Errorf("the reason is not said: %v", err)
		}
	})
}

func givenUp(t *testing.T, path string) error {
	t.Helper()
	rep := checkFull(t, path)
	if rep.Verdict != integrity.Corrupt {
		t.Fatalf("%s: this test shows nothing", rep.Verdict)
	}
	_, err := Copy(t.Context(), path, rep, Options{})
	if !errors.Is(err, ErrNotRepairable) {
		t.Errorf("repaired: %v", err)
	}
	return err
}

// behind returns scripts that run sql while SQLite does not know the index.
func behind(create, index, sql string) []string {
	return []string{create + fmt.Sprintf("; CREATE TABLE keep AS SELECT * FROM sqlite_schema WHERE name='%s'; PRAGMA writable_schema=1; DELETE FROM sqlite_schema WHERE name='%[1]s'", index),
		sql, "PRAGMA writable_schema=1; INSERT INTO sqlite_schema SELECT * FROM keep", "DROP TABLE keep"}
}

// A repair keeps what is no row: sequences, versions, encoding, statistics, triggers,
// views, rowids of tables without a primary key, auto_vacuum, page size and WAL mode.
func TestRepairKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, pragma := range []string{"auto_vacuum=0", "auto_vacuum=1", "auto_vacuum=2", "encoding='UTF-16be'", "journal_mode=wal"} {
		t.Run(pragma, func(t *testing.T) {
			create := "PRAGMA page_size=2048; PRAGMA " + pragma + `; PRAGMA user_version=77; PRAGMA application_id=99;
				CREATE TABLE q(a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT); INSERT INTO q(b) VALUES('x'),('y'); DELETE FROM q;
				CREATE TABLE p(v TEXT COLLATE NOCASE, n NUMERIC, g TEXT AS (v||n), s INT AS (n+1) STORED);
				INSERT INTO p(rowid,v,n) VALUES(10,'ä',1.5),(20,NULL,x'00ff'),(7,'',9223372036854775807);
				CREATE INDEX pv ON p(v); CREATE INDEX pg ON p(g); CREATE VIEW vw AS SELECT * FROM p; CREATE TRIGGER tr AFTER INSERT ON p BEGIN DELETE FROM q; END;
				CREATE TABLE r(x); INSERT INTO r(rowid,x) VALUES(5,'a'),(900,'b');
				CREATE VIRTUAL TABLE ft USING fts5(body); INSERT INTO ft VALUES('good day'),('good night'); ANALYZE`
			path := makeDB(t, "x.db", behind(create, "pv", "DROP TRIGGER tr; INSERT INTO p(rowid,v,n) VALUES(30,'late',0); CREATE TRIGGER tr AFTER INSERT ON p BEGIN DELETE FROM q; END")...)
			sound := facts(t, path)
			zeroTree(t, path, "pg", "root")
			m, err := Copy(t.Context(), path, checkFull(t, path), Options{})
			if err != nil {
				t.Fatal(err)
			}
			wantWhole(t, path, m)
			if got := facts(t, path); got != sound {
				t.Errorf("before:\n%s\nafter:\n%s", sound, got)
			}
		})
	}
}

// facts is everything in the small database of TestRepairKeepsTheRest.
func facts(t *testing.T, path string) string {
	t.Helper()
	c := connect(t, path)
	defer c.Close()
	var b strings.Builder
	for _, q := range []string{"PRAGMA user_version", "PRAGMA application_id", "PRAGMA encoding", "PRAGMA auto_vacuum", "PRAGMA page_size", "PRAGMA journal_mode",
		"SELECT group_concat(type||name||sql, '|') FROM (SELECT * FROM sqlite_schema WHERE name<>'keep' ORDER BY type, name)", "SELECT group_concat(name||seq) FROM sqlite_sequence",
		"SELECT group_concat(quote(rowid)||quote(v)||quote(n)||quote(s), '|') FROM p NOT INDEXED",
		"SELECT group_concat(rowid||x) FROM r",
		"SELECT group_concat(tbl||ifnull(idx,'')||stat, '|') FROM (SELECT * FROM sqlite_stat1 ORDER BY tbl, idx)", "SELECT group_concat(rowid||body) FROM ft WHERE ft MATCH 'good'"} {
		v, err := c.Text(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		fmt.Fprintf(&b, "%s: %s\n", q, v)
	}
	return b.String()
}

// One full-text index is damaged, and another one holds other words than its content
// because the application wants it so. Lost otherwise: what people find in that one.
func TestRepairLeavesSoundFullTextAlone(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", `CREATE TABLE doc(id INTEGER PRIMARY KEY, body); INSERT INTO doc VALUES(1,'stored words');
		CREATE VIRTUAL TABLE own USING fts5(body, content='doc', content_rowid='id'); INSERT INTO own(rowid, body) VALUES(1,'found words');
		CREATE VIRTUAL TABLE f USING fts5(a); INSERT INTO f VALUES('good day'),('good night')`, "DELETE FROM f_data WHERE id>10")
	if _, err := Copy(t.Context(), path, checkFull(t, path), Options{}); err != nil {
		t.Fatal(err)
	}
	wantInt(t, path, "SELECT count(*) FROM own WHERE own MATCH 'found'", 1)
	wantInt(t, path, "SELECT count(*) FROM f WHERE f MATCH 'good'", 2)
}

// An attempt that is cut off says so: recovery must not take it for a no.
func TestRepairCancelled(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", orders)
	zeroTree(t, path, "item_name", "root")
	rep := checkFull(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Copy(ctx, path, rep, Options{})
	var ce *integrity.CheckError
	if errors.Is(err, ErrNotRepairable) || !errors.As(err, &ce) || ce.Code != integrity.ErrCodeCancelled {
		t.Errorf("%v", err)
	}
}

func rootOf(t *testing.T, path, name string) int {
	t.Helper()
	c := connect(t, path)
	defer c.Close()
	n, err := c.Int(t.Context(), "SELECT rootpage FROM sqlite_schema WHERE name='"+name+"'")
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// zeroTree overwrites pages of an index with zeros.
func zeroTree(t *testing.T, path, name, what string) {
	t.Helper()
	var pages []int64
	c := connect(t, path)
	order := "ORDER BY pagetype='leaf', pageno"
	if what == "leaf" {
		order = "ORDER BY pagetype<>'leaf', pageno"
	}
	var size int64
	err := c.Each(t.Context(), "SELECT pageno, pgsize FROM dbstat WHERE name='"+name+"' "+order, func(s *sqlite.Stmt) error {
		pages, size = append(pages, s.Int(0)), s.Int(1)
		return nil
	})
	if err != nil || len(pages) == 0 {
		t.Fatal(err, pages)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if what == "root" {
		pages = []int64{int64(rootOf(t, path, name))}
	}
	if what == "leaf" {
		pages = pages[:1]
	}
	for _, n := range pages {
		patch(t, path, int(n-1)*int(size), make([]byte, size))
	}
}

func firstLeaf(t *testing.T, path string, root int) int {
	t.Helper()
	for {
		p := readPage(t, path, root)
		if p[0] == 0x0d || p[0] == 0x0a {
			return root
		}
		cell := int(p[12])<<8 | int(p[13])
		root = int(p[cell])<<24 | int(p[cell+1])<<16 | int(p[cell+2])<<8 | int(p[cell+3])
	}
}

func readPage(t *testing.T, path string, n int) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1024)
	if _, err := io.ReadFull(io.NewSectionReader(f, int64(n-1)*1024, 1024), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func patch(t *testing.T, path string, off int, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, int64(off)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// grow appends a page and counts it in the header.
func grow(t *testing.T, path string, page []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, page...)
	n := len(b) / len(page)
	b[28], b[29], b[30], b[31] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantInt(t *testing.T, path, query string, want int64) {
	t.Helper()
	c := connect(t, path)
	defer c.Close()
	if got, err := c.Int(t.Context(), query); err != nil || got != want {
		t.Errorf("%s: %d %v, want %d", query, got, err, want)
	}
}
