package inspect_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/testdb"
)

// imageOf makes a database and returns its bytes.
func imageOf(t *testing.T, scripts ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, s := range scripts {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shown(t *testing.T, pages io.ReaderAt, size int) *inspect.Image {
	t.Helper()
	i, err := inspect.New(pages, int64(size), time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

const thousands = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) "

// Lost: a value on its way, or the word that there are more rows.
func TestQuery(t *testing.T) {
	t.Parallel()
	image := imageOf(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t(v) VALUES(NULL), (9007199254740993), (0.1), ('text'), (x'00ff'), ('')",
		"INSERT INTO t(v) "+fmt.Sprintf(thousands, 3000)+"SELECT i FROM n")
	i := shown(t, bytes.NewReader(image), len(image))
	r, err := i.Query(t.Context(), "SELECT id, v AS value FROM t", inspect.QueryOptions{Limit: 6})
	if err != nil || !r.Truncated || len(r.Rows) != 6 || strings.Join(r.Columns, " ") != "id value" {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := fmt.Sprintf("%#v", r.Rows[:6]); got != `[]dump.Row{dump.Row{1, interface {}(nil)}, dump.Row{2, 9007199254740993}, dump.Row{3, 0.1}, dump.Row{4, "text"}, dump.Row{5, []uint8{0x0, 0xff}}, dump.Row{6, ""}}` {
		t.Error(got)
	}
	if r, err = i.Query(t.Context(), "SELECT * FROM t", inspect.QueryOptions{}); err != nil || !r.Truncated || len(r.Rows) != 1000 {
		t.Errorf("%d rows, %v, %v", len(r.Rows), r.Truncated, err)
	}
	if r, err = i.Query(t.Context(), "SELECT * FROM t", inspect.QueryOptions{Limit: 3006}); err != nil || r.Truncated || len(r.Rows) != 3006 {
		t.Errorf("%d rows, %v, %v", len(r.Rows), r.Truncated, err)
	}
	if r, err = i.Query(t.Context(), "SELECT randomblob(1000) FROM t", inspect.QueryOptions{Bytes: 10_500}); err != nil || !r.Truncated || len(r.Rows) != 10 {
		t.Errorf("%d rows, %v, %v", len(r.Rows), r.Truncated, err)
	}
	if r, err = i.Rows(t.Context(), "T", 4, inspect.QueryOptions{Limit: 1}); err != nil || !r.Truncated || len(r.Rows) != 1 || r.Rows[0][0] != int64(5) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = i.Rows(t.Context(), "t", 3005, inspect.QueryOptions{Limit: 1}); err != nil || r.Truncated || len(r.Rows) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for query, want := range map[string]error{
		"SELEKT 1": inspect.ErrStatement, "SELECT * FROM nosuch": inspect.ErrStatement, "SELECT 1; SELECT 2": inspect.ErrStatement, "": inspect.ErrStatement,
		"SELECT abs(-9223372036854775808)": inspect.ErrStatement, "DELETE FROM t": inspect.ErrNotReading, "ATTACH ':memory:' AS x": inspect.ErrNotReading,
		"SELECT randomblob(900000) || randomblob(900000)": inspect.ErrTooMuch,
	} {
		if r, err := i.Query(t.Context(), query, inspect.QueryOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v", query, r, err)
		}
	}
	if _, err := i.Rows(t.Context(), "nosuch", 0, inspect.QueryOptions{}); !errors.Is(err, inspect.ErrNoTable) {
		t.Errorf("no such table: %v", err)
	}
}

// Lost: an answer that needs sorting, since an image has no place for temporary files.
func TestSortsWithoutTemporaryFiles(t *testing.T) {
	t.Parallel()
	image := imageOf(t, "CREATE TABLE t(a)", "INSERT INTO t "+fmt.Sprintf(thousands, 15_000)+"SELECT printf('%0200d', (i * 7919) % 15000) FROM n")
	i := shown(t, bytes.NewReader(image), len(image))
	for _, query := range []string{"SELECT a FROM t ORDER BY a", "SELECT a, count(*) FROM t GROUP BY a ORDER BY 2", "SELECT DISTINCT substr(a, 1, 199) || 'x' FROM t"} {
		if r, err := i.Query(t.Context(), query, inspect.QueryOptions{Limit: 1, Timeout: time.Hour}); err != nil || len(r.Rows) != 1 {
			t.Errorf("%s: %+v, %v", query, r, err)
		}
		db, err := i.DB(t.Context(), func() error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(query); err != nil {
			t.Errorf("%s as *sql.DB: %v", query, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Lost: a page of an administrator, to a query without an end; or the end of it, to a bomb of a schema.
func TestQueriesEnd(t *testing.T) {
	t.Parallel()
	image := imageOf(t, "CREATE TABLE one(x); INSERT INTO one VALUES(1)", "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) AS m FROM n",
		"CREATE VIEW piling AS WITH RECURSIVE n(i, s) AS (SELECT 1, '' UNION ALL SELECT i+1, i || hex(zeroblob(400000)) FROM n) SELECT * FROM n ORDER BY s",
		"CREATE TABLE computing(a, b AS (hex(zeroblob(9000000))))", "INSERT INTO computing(a) VALUES(1)",
		"CREATE VIEW wide AS SELECT "+strings.Repeat("hex(zeroblob(500000)), ", 1999)+"1")
	i := shown(t, bytes.NewReader(image), len(image))
	for query, want := range map[string]error{
		"SELECT * FROM endless": context.DeadlineExceeded, "SELECT * FROM piling": inspect.ErrTooMuch,
		"SELECT * FROM computing": inspect.ErrTooMuch, "SELECT * FROM wide": inspect.ErrTooMuch,
		"SELECT count(*) FROM one, " + strings.Repeat("(SELECT * FROM one UNION ALL SELECT * FROM one),", 30) + " one": context.DeadlineExceeded,
	} {
		o := inspect.QueryOptions{Timeout: 300 * time.Millisecond}
		if want != context.DeadlineExceeded {
			o.Timeout = time.Hour // it has to end for its own reason
		}
		r, err := i.Query(t.Context(), query, o)
		if err == nil || !errors.Is(err, want) {
			t.Errorf("%.60s: %d rows, %v, want %v", query, len(r.Rows), err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := i.Query(ctx, "SELECT * FROM endless", inspect.QueryOptions{Timeout: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Lost: the memory of the machine, to a view in a backup from anywhere.
func TestExportOfAViewIsBounded(t *testing.T) {
	t.Parallel()
	image := imageOf(t, "CREATE TABLE t(a)", "INSERT INTO t VALUES('row')", "CREATE VIEW same AS SELECT a FROM t",
		"CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT zeroblob(400000)||i AS b FROM n ORDER BY b")
	i := shown(t, bytes.NewReader(image), len(image))
	var csv bytes.Buffer
	if _, err := i.Export(t.Context(), &csv, inspect.CSV, "SAME", nil); err != nil || csv.String() != "a\r\nrow\r\n" {
		t.Errorf("%q, %v", csv.String(), err)
	}
	if _, err := i.Export(t.Context(), io.Discard, inspect.CSV, "endless", nil); !errors.Is(err, inspect.ErrTooMuch) {
		t.Errorf("%v", err)
	}
}

// counted counts what is read.
type counted struct {
	io.ReaderAt
	bytes atomic.Int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.bytes.Add(int64(n))
	return n, err
}

// Lost: the quick look into a large backup, or one across a slow line: a look-up unpacks nothing but the frames of its pages.
func TestLookUpsReadLittle(t *testing.T) {
	t.Parallel()
	image := imageOf(t, "PRAGMA page_size = 4096", "CREATE TABLE t(id INTEGER PRIMARY KEY, name UNIQUE, rest)",
		"INSERT INTO t "+fmt.Sprintf(thousands, 12_000)+"SELECT i, 'name ' || i, hex(randomblob(400)) FROM n")
	var stored bytes.Buffer
	w, err := archive.NewWriter(&stored, archive.WriterOptions{PageSize: 4096, FrameBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{CheckLevel: "quick"}); err != nil {
		t.Fatal(err)
	}
	read := &counted{ReaderAt: bytes.NewReader(stored.Bytes())}
	r, err := archive.NewReader(read, int64(stored.Len()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	i := shown(t, r, len(image))
	share := func(query string, want int64) {
		t.Helper()
		before, shown := read.bytes.Load(), i.Read()
		got, err := i.Query(t.Context(), query, inspect.QueryOptions{})
		if err != nil || len(got.Rows) != 1 {
			t.Fatalf("%s: %+v, %v", query, got, err)
		}
		bytes := read.bytes.Load() - before
		t.Logf("%s: %d of %d bytes stored, %d of %d of the image", query, bytes, stored.Len(), i.Read()-shown, len(image))
		if bytes > want {
			t.Errorf("%s: read %d of %d bytes", query, bytes, stored.Len())
		}
	}
	// The digests of all pages, and a frame for each level of the trees.
	share("SELECT rest FROM t WHERE id = 6123", int64(stored.Len())/8)
	share("SELECT id FROM t WHERE name = 'name 777'", int64(stored.Len())/8)
	share("SELECT rest FROM t WHERE id = 6123", 0)
}

// failing fails to read from a page on.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

// Lost: the difference between a disk that does not answer and a backup that is damaged.
func TestWhatEndsAQueryIsNamed(t *testing.T) {
	t.Parallel()
	image := imageOf(t, "CREATE TABLE t(a)", "INSERT INTO t "+fmt.Sprintf(thousands, 1000)+"SELECT hex(randomblob(100)) FROM n")
	for _, cause := range []error{&fs.PathError{Op: "read", Path: "x", Err: errors.New("input/output error")}, archive.ErrDamaged} {
		reported := 0
		i, err := inspect.New(&failing{bytes.NewReader(image), int64(len(image)) / 2, cause}, int64(len(image)), time.Now(), func(err error) {
			if reported++; !errors.Is(err, cause) {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Query(t.Context(), "SELECT count(*), sum(length(a)) FROM t", inspect.QueryOptions{}); !errors.Is(err, cause) || errors.Is(err, inspect.ErrDamaged) {
			t.Errorf("%v", err)
		}
		if _, err := i.Export(t.Context(), io.Discard, inspect.SQL, "", nil); !errors.Is(err, cause) {
			t.Errorf("export: %v", err)
		}
		if reported != 1 {
			t.Errorf("reported %d times", reported)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
	damaged := bytes.Clone(image)
	clear(damaged[len(damaged)/2 : len(damaged)/2+4096])
	i := shown(t, bytes.NewReader(damaged), len(damaged))
	if _, err := i.Query(t.Context(), "SELECT count(*), sum(length(a)) FROM t", inspect.QueryOptions{}); !errors.Is(err, inspect.ErrDamaged) {
		t.Errorf("a damaged page: %v", err)
	}
	noise := bytes.Repeat([]byte("noise, and nothing else. "), 1000)
	if _, err := shown(t, bytes.NewReader(noise), len(noise)).Query(t.Context(), "SELECT 1 FROM sqlite_schema", inspect.QueryOptions{}); !errors.Is(err, inspect.ErrDamaged) {
		t.Errorf("noise: %v", err)
	}
}

// Lost: rows that the database has now, or the database's peace, when it is looked into.
func TestLive(t *testing.T) {
	t.Parallel()
	for _, v := range testdb.Variants() {
		if v.Sum == 0 {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			path := v.Create(t)
			before := testdb.DirListing(t, filepath.Dir(path))
			i, err := inspect.Live(t.Context(), path, t.TempDir(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			done := int64(0)
			r, err := i.Query(t.Context(), "SELECT sum(balance) FROM accounts", inspect.QueryOptions{Progress: func(now, total int64) { done = now }})
			if err != nil || len(r.Rows) != 1 || r.Rows[0][0] != v.Sum || done == 0 {
				t.Errorf("%+v, %v; want %d", r.Rows, err, v.Sum)
			}
			if err := i.Close(); err != nil {
				t.Error(err)
			}
			if after := testdb.DirListing(t, filepath.Dir(path)); after != before {
				t.Errorf("it left\n%s\nand there was\n%s", after, before)
			}
		})
	}
}

// Lost: an answer, to an application that keeps its database locked for itself.
func TestLiveWaitsForLocksNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t(a); BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect.Live(t.Context(), path, "", time.Second); !errors.Is(err, livedb.ErrBusy) {
		t.Errorf("%v", err)
	}
}
