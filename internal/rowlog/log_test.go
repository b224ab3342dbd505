package rowlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/testdb"
)

const seed = archive.Seed(5)

// history is a database with its change log.
type history struct {
	t       *testing.T
	db, dir string
	entries []catalog.Entry // newest first
	log     *changes.Log
	chain   *capture.Chain
}

func newHistory(t *testing.T, schema string) *history {
	t.Helper()
	h := &history{t: t, db: filepath.Join(t.TempDir(), "data.db"), dir: t.TempDir()}
	testdb.ShellQuery(t, h.db, "PRAGMA journal_mode=wal; "+schema)
	base := h.backup("base", "")
	r, err := archive.Open(filepath.Join(h.dir, base.File))
	h.must(err)
	defer r.Close()
	h.log, err = changes.Open(points.Directory(h.dir, 1), changes.Head{Timeline: 1, Database: "data.db", Base: base.ID, PageSize: base.PageSize, PageSeed: seed.String()})
	h.must(err)
	h.chain, err = capture.Open(t.Context(), h.db, capture.Base{Archive: r, At: base.CreatedAt}, h.log)
	h.must(err)
	t.Cleanup(func() {
		h.must(h.chain.Rest())
		h.must(h.log.Close())
	})
	return h
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// backup stores the state as it is now, at a point unless that is "".
func (h *history) backup(id, point string) catalog.Entry {
	h.t.Helper()
	s, err := pages.Begin(h.t.Context(), h.db, livedb.Options{})
	h.must(err)
	defer s.Close()
	f, err := os.Create(filepath.Join(h.dir, id))
	h.must(err)
	defer f.Close()
	info := s.Info()
	w, err := archive.NewWriter(f, archive.WriterOptions{PageSize: info.PageSize, Seed: seed})
	h.must(err)
	h.must(s.CopyTo(h.t.Context(), w, nil))
	_, err = w.Finish(archive.Facts{})
	h.must(err)
	e := catalog.Entry{ID: id, File: id, Seq: uint64(len(h.entries) + 1), CreatedAt: time.Now(), DatabaseBytes: info.Bytes(), PageSize: info.PageSize, PageCount: info.PageCount,
		Timeline: catalog.Timeline{Number: 1}, Point: point, Verification: catalog.Verification{State: catalog.Verified}}
	h.entries = append([]catalog.Entry{e}, h.entries...)
	return e
}

// capture commits, and captures that.
func (h *history) capture(commit string) {
	h.t.Helper()
	testdb.ShellQuery(h.t, h.db, commit)
	out, err := h.chain.Capture(h.t.Context(), time.Now)
	h.must(err)
	if out.Way == capture.Nothing {
		h.t.Fatalf("nothing was captured of %s", commit)
	}
}

// read returns what the points changed, oldest first, and how many archives were opened for it.
func (h *history) read(q Query) (lines []string, opened int) {
	h.t.Helper()
	set, err := points.Read(h.t.Context(), nil, h.dir, h.entries, catalog.State{})
	h.must(err)
	open := func(e catalog.Entry) (*archive.Reader, error) {
		opened++
		return archive.Open(filepath.Join(h.dir, e.File))
	}
	page, next, err := Read(h.t.Context(), set, open, h.t.TempDir(), q)
	if h.must(err); next != "" && q.Limit == 0 {
		h.t.Errorf("it ends at %s", next)
	}
	for _, e := range page {
		line := e.ID
		for _, s := range e.Schema {
			line += fmt.Sprintf(" %s:%s", s.Object, s.Change)
		}
		for _, t := range e.Tables {
			line += fmt.Sprintf(" %s+%d-%d~%d%s", t.Name, t.Added, t.Removed, t.Changed, t.NotCompared)
		}
		lines = append([]string{line}, lines...)
	}
	return lines, opened
}

// Lost if this fails: the second in which a row vanished, in a log of which segments were sealed, with a backup in the middle, and a database that grows,
// shrinks, moves its rows and changes its schema.
func TestEachPointWithWhatItChanged(t *testing.T) {
	t.Parallel()
	h := newHistory(t, `CREATE TABLE a(id INTEGER PRIMARY KEY, x, big); CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE INDEX ax ON a(x);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO a SELECT i, 'row '||i, NULL FROM n; INSERT INTO w SELECT x, id FROM a WHERE id%4=0`)
	fill := `WITH RECURSIVE n(i) AS (SELECT 3001 UNION ALL SELECT i+1 FROM n WHERE i<6000) INSERT INTO a SELECT i, hex(randomblob(40)), NULL FROM n`
	commits := []struct{ sql, want string }{
		{"UPDATE a SET x='changed' WHERE id IN (7, 1500)", "1.1 a+0-0~2"},
		{fill, "1.2 a+3000-0~0"},
		{"DELETE FROM w WHERE k='row 8'; INSERT INTO w VALUES('zz', 1)", "1.3 w+1-1~0"},
		{"UPDATE a SET big=zeroblob(50000) WHERE id=9", "1.4 a+0-0~1"},
		{"UPDATE a SET big=CAST(substr(big,1,40000)||x'01' AS BLOB)||zeroblob(9999) WHERE id=9", "1.5 a+0-0~1"},
		{"DELETE FROM a WHERE id BETWEEN 3001 AND 6000", "1.6 a+0-3000~0"},
		{"VACUUM", "1.7"},
		{fill, "1.8 a+3000-0~0"},
		{"CREATE TABLE late(x); INSERT INTO late VALUES(1),(2)", "1.9 late:added late+2-0~0"},
		{"DELETE FROM a WHERE id>1000", "1.10 a+0-4000~0"},
		{"DROP TABLE w", "1.11 w:removed w+0-500~0"},
		{"PRAGMA user_version=3", "1.12 user_version:changed"},
		{"UPDATE a SET x=x||'!' WHERE id<=3", "1.13 a+0-0~3"},
	}
	var want []string
	for i, c := range commits {
		h.capture(c.sql)
		want = append(want, c.want)
		if i%5 == 2 {
			h.must(h.log.Seal())
		}
		if i == 7 {
			h.backup("middle", "1.8")
		}
		got, opened := h.read(Query{})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("after %s:\n%q\nwant\n%q", c.sql, got, want)
		}
		if opened > 8 {
			t.Errorf("%d archives were opened for %d points", opened, len(got))
		}
	}
	if got, _ := h.read(Query{Table: "w"}); !reflect.DeepEqual(got, []string{want[2], want[10]}) {
		t.Errorf("of one table: %q", got)
	}
	if got, _ := h.read(Query{Table: "a", Key: "7"}); len(got) != 1 || got[0] != "1.1 a+0-0~2" {
		t.Errorf("of one row: %q", got)
	}
	set, err := points.Read(t.Context(), nil, h.dir, h.entries, catalog.State{})
	h.must(err)
	if _, _, err := Read(t.Context(), set, func(e catalog.Entry) (*archive.Reader, error) { return archive.Open(filepath.Join(h.dir, e.File)) }, t.TempDir(), Query{Table: "nothing"}); !errors.Is(err, rowdiff.ErrNoTable) {
		t.Errorf("of no table: %v", err)
	}
	if got, _ := h.read(Query{Limit: 2}); !reflect.DeepEqual(got, want[11:]) {
		t.Errorf("the newest two: %q", got)
	}
}

// Lost if this fails: that a row changed, where its key is written in another way, and where which row changed cannot be said.
func TestTheChangesOfARowAreNotMissed(t *testing.T) {
	t.Parallel()
	h := newHistory(t, `CREATE TABLE own(k TEXT PRIMARY KEY COLLATE BINARY, v); INSERT INTO own VALUES('a',1),('b',2);
CREATE TABLE sorted(k TEXT COLLATE BINARY PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO sorted VALUES('a',1),('b',2);
CREATE TABLE nocase(k TEXT PRIMARY KEY COLLATE NOCASE, v); INSERT INTO nocase VALUES('Abc',1); CREATE TABLE trimmed(k TEXT PRIMARY KEY COLLATE RTRIM, v); INSERT INTO trimmed VALUES('x ',1);
CREATE TABLE number(k REAL PRIMARY KEY, v); INSERT INTO number VALUES(2,1); CREATE TABLE bare(v); INSERT INTO bare VALUES(1),(2),(3),(4)`)
	const rename = "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql=replace(sql,'BINARY','MINE') WHERE type='table'"
	h.capture("DELETE FROM bare WHERE v=2")
	h.capture("VACUUM; DELETE FROM bare WHERE v=3; UPDATE nocase SET k='ABC'")
	h.capture(rename)
	testdb.ShellQuery(t, h.db, "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql=replace(sql,'MINE','BINARY') WHERE type='table'")
	testdb.ShellQuery(t, h.db, "UPDATE own SET v=9 WHERE k='b'; UPDATE sorted SET v=9 WHERE k='b'; UPDATE nocase SET v=9; UPDATE trimmed SET v=9; UPDATE number SET v=9")
	h.capture(rename)
	const sorted = " sorted+0-0~0its rows cannot be compared: it is kept in the order of the collation MINE, which only the application has"
	const unknown = "rows of it changed; which of them is this one cannot be said, for it has no key that holds in both states"
	for _, c := range []struct{ table, key, want string }{
		{"own", "b", "1.4 own+1-1~0" + unknown}, {"sorted", "b", "1.3" + sorted + "|1.4" + sorted},
		{"nocase", "abc", "1.2 nocase+0-0~1|1.4 nocase+0-0~1"}, {"trimmed", "x", "1.4 trimmed+0-0~1"}, {"number", "2.0", "1.4 number+0-0~1"}, {"number", "2", "1.4 number+0-0~1"},
		{"bare", "3", "1.2 bare+0-1~0" + unknown}, {"nocase", "abcd", ""},
	} {
		got, _ := h.read(Query{Table: c.table, Key: c.key})
		if text := strings.Join(got, "|"); text != c.want {
			t.Errorf("%s %s: %q", c.table, c.key, text)
		}
	}
	if got, _ := h.read(Query{}); len(got) != 4 {
		t.Errorf("%q", got)
	}
}
