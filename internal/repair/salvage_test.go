package repair

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

func imageFrom(b []byte) Image { return Image{R: bytes.NewReader(b), Size: int64(len(b))} }

// salvaged salvages a database, and returns the path of the new one.
func salvaged(t testing.TB, from Damaged, donor *Image) (Salvaged, string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "to.db")
	if err := os.WriteFile(to, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := Salvage(t.Context(), from, to, SalvageOptions{Donor: donor, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return said, to
}

func ordinary(said Salvaged) (n int64) {
	for _, t := range said.Tables {
		if !strings.HasPrefix(t.Name, "cfts_") {
			n += t.Rows
		}
	}
	return n
}

// What people met: the rows that are left, without any backup.
func TestSalvageFieldDamage(t *testing.T) {
	for name, want := range map[string]int64{
		"emptytable": 0, "index_row_missing": 753, "index_root_is_table_page": 40, "encoding_flag": 453, "header16_zero": 453, "hermes_page1_zero": 453,
		"dup_index_schema": 453, "view_sql_bad": 453, "stat1_page_bad": 453, "fts5_contentless_bad": 453, "orphan_pages": 453,
		"one_leaf_zero": 439, "row_record_bad": 452, "truncated_tail": 345,
	} {
		b, err := os.ReadFile(filepath.Join("../../testdata/field", name+".db"))
		if err != nil {
			t.Fatal(err)
		}
		said, to := salvaged(t, Damaged{Image: imageFrom(b)}, nil)
		if got := ordinary(said); got != want {
			t.Errorf("%s: %d rows, want %d: %+v", name, got, want, said)
		}
		lost := map[string]int64{"emptytable": 40, "one_leaf_zero": 14, "row_record_bad": 1, "truncated_tail": 108}[name]
		if said.LostAndFound != lost {
			t.Errorf("%s: %d rows lost and found, want %d", name, said.LostAndFound, lost)
		}
		if name == "one_leaf_zero" {
			wantInt(t, to, "SELECT count(*) FROM lost_and_found WHERE table_name='events' AND row_id>0 AND c0=row_id", 14)
		}
	}
}

// varied is a small database of many kinds of tables. Each table's rows look different from any other's.
const varied = `PRAGMA page_size=512; %s
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT NOT NULL, mail TEXT UNIQUE, born REAL);
CREATE TABLE seq(id INTEGER PRIMARY KEY AUTOINCREMENT, a INT, b INT);
CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB, n INT) WITHOUT ROWID;
CREATE TABLE pair(a INT, b TEXT, c TEXT, PRIMARY KEY(b, a)) WITHOUT ROWID;
CREATE TABLE doc(title TEXT, body BLOB, x, y, z);
CREATE TABLE made(a TEXT, b TEXT, len INT AS (length(a)) STORED, both TEXT AS (a||b), c TEXT, d TEXT, e TEXT);
CREATE TABLE strict(a INT, b TEXT, c REAL, d BLOB, e ANY, f INT, g INT, h INT) STRICT;
CREATE INDEX person_name ON person(name); CREATE UNIQUE INDEX strict_a ON strict(a); CREATE INDEX doc_low ON doc(lower(title)) WHERE title>'m';
CREATE VIEW v AS SELECT name FROM person; CREATE TRIGGER tr AFTER DELETE ON person BEGIN DELETE FROM seq WHERE a=old.id; END;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<120) INSERT INTO person SELECT i, 'name '||i, 'm'||i||'@example.com', i*1.25 FROM n;
INSERT INTO seq(a,b) SELECT id, id*1000003 FROM person; DELETE FROM seq WHERE id>110;
INSERT INTO kv SELECT 'key '||id, zeroblob(id%%40), id FROM person;
INSERT INTO pair SELECT id, 'b'||id, 'c'||id FROM person;
INSERT INTO doc SELECT 'title '||id, randomblob(id*15), id, NULL, 'ä' FROM person WHERE id<=60;
INSERT INTO made(a,b,c,d,e) SELECT name, mail, 'c', 'd', 'e' FROM person WHERE id<=60;
ALTER TABLE doc ADD COLUMN late TEXT DEFAULT 'later'; INSERT INTO doc(title,late) VALUES('after','x');
INSERT INTO strict SELECT id, 'text '||id, id, x'00ff', 'any', 1, 2, 3 FROM person; PRAGMA user_version=7; PRAGMA application_id=9;`

var variedTables = []string{"person", "seq", "kv", "pair", "doc", "made", "strict"}

// contents is every row of the tables, as SQLite reads them, each after its table's name.
func contents(t testing.TB, path string) []string {
	t.Helper()
	c := connect(t, path)
	defer c.Close()
	var all []string
	for _, name := range variedTables {
		rowid := ",rowid"
		if name == "kv" || name == "pair" {
			rowid = ""
		}
		var columns []string
		err := c.Each(t.Context(), "SELECT name FROM pragma_table_info('"+name+"')", func(s *sqlite.Stmt) error {
			columns = append(columns, "quote("+s.Text(0)+")")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Each(t.Context(), "SELECT "+strings.Join(columns, "||','||")+rowid+" FROM "+name+" NOT INDEXED", func(s *sqlite.Stmt) error {
			all = append(all, name+" "+s.Text(0)+" "+fmt.Sprint(s.Int(1)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

// A database that is not damaged comes out as it is, in every form.
func TestSalvageOfASoundDatabase(t *testing.T) {
	for _, pragma := range []string{"", "PRAGMA auto_vacuum=1;", "PRAGMA encoding='UTF-16le';", "PRAGMA encoding='UTF-16be';"} {
		path := makeDB(t, "x.db", fmt.Sprintf(varied, pragma))
		said, to := salvaged(t, Damaged{Image: imageFrom(read(t, path))}, nil)
		if !said.Complete || said.LostAndFound != 0 || len(said.Skipped) > 0 {
			t.Errorf("%s %+v", pragma, said)
		}
		if got, want := contents(t, to), contents(t, path); !slices.Equal(got, want) {
			t.Errorf("%s: %d rows, want %d", pragma, len(got), len(want))
		}
		for _, query := range []string{"PRAGMA user_version", "PRAGMA application_id", "PRAGMA page_size", "PRAGMA auto_vacuum", "PRAGMA encoding",
			"SELECT group_concat(type||name||sql, '|') FROM (SELECT * FROM sqlite_schema ORDER BY type, name)", "SELECT seq FROM sqlite_sequence"} {
			if got, want := ask(t, to, query), ask(t, path, query); got != want {
				t.Errorf("%s %s: %q, want %q", pragma, query, got, want)
			}
		}
	}
}

func ask(t testing.TB, path, query string) string {
	t.Helper()
	c := connect(t, path)
	defer c.Close()
	s, err := c.Text(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A value whose overflow pages are gone is kept as far as it goes.
func TestSalvageCutsShort(t *testing.T) {
	path := makeDB(t, "x.db", "PRAGMA page_size=512; CREATE TABLE t(a TEXT, b BLOB, c TEXT); INSERT INTO t VALUES('first', randomblob(5000), 'last'),('second', x'01', 'whole')")
	b := read(t, path)
	chain := 3
	for n := 4; n < 7; n++ { // the middle of the chain
		clear(b[(n-1+chain-3)*512 : (n+chain-3)*512])
	}
	said, to := salvaged(t, Damaged{Image: imageFrom(b)}, nil)
	if len(said.Tables) != 1 || said.Tables[0].Rows != 2 || said.Tables[0].CutShort != 1 || said.Complete {
		t.Errorf("%+v", said)
	}
	wantInt(t, to, "SELECT length(b)>300 AND length(b)<5000 AND a='first' AND c IS NULL FROM t WHERE rowid=1", 1)
}

// What the log proves counts, and what it does not prove does not.
func TestSalvageReadsTheLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := connect(t, path)
	if err := c.Exec(t.Context(), "PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	proven := len(read(t, path+"-wal"))
	if err := c.Exec(t.Context(), "INSERT INTO t VALUES(2)"); err != nil {
		t.Fatal(err)
	}
	main, log := read(t, path), read(t, path+"-wal")
	for _, damaged := range []bool{false, true} {
		if damaged {
			log[proven+100] ^= 1
		}
		from := Damaged{Image: imageFrom(main), Log: sqlitefile.LogFile{R: bytes.NewReader(log), Size: int64(len(log))}}
		_, to := salvaged(t, from, nil)
		want := int64(2)
		if damaged {
			want = 1
		}
		wantInt(t, to, "SELECT count(*) FROM t", want)
	}
}

// A file without a byte is damaged; the disk gave all that there is. The page size is known from a backup.
func TestSalvageOfAnEmptyFile(t *testing.T) {
	donor := imageFrom(read(t, makeDB(t, "x.db", "CREATE TABLE t(a)")))
	_, err := Salvage(t.Context(), Damaged{Image: imageFrom(nil)}, filepath.Join(t.TempDir(), "to.db"), SalvageOptions{Donor: &donor, Dir: t.TempDir()})
	if !errors.Is(err, sqlitefile.ErrMalformed) {
		t.Errorf("%v, want that it is damaged", err)
	}
}

// A file that was cut short with a log, or a journal, of pages far beyond its end: what they have is there, the pages between are lost.
func TestSalvageOfACutFileReadsWhatIsBeyond(t *testing.T) {
	for mode, change := range map[string]string{
		"wal":    "INSERT INTO t SELECT a+1000, randomblob(400) FROM t WHERE a<=100",
		"delete": "UPDATE t SET b=randomblob(400) WHERE a>900",
	} {
		path := makeDB(t, "x.db", "PRAGMA page_size=512; PRAGMA journal_mode="+mode+"; CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) INSERT INTO t SELECT i, randomblob(400) FROM n")
		c := connect(t, path)
		if err := c.Exec(t.Context(), "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=5; BEGIN;"+change); err != nil {
			t.Fatal(err)
		}
		d := Damaged{}
		if mode == "delete" {
			d.Journal = imageFrom(read(t, path+"-journal"))
		} else if err := c.Exec(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		} else {
			log := read(t, path+"-wal")
			d.Log = sqlitefile.LogFile{R: bytes.NewReader(log), Size: int64(len(log))}
		}
		d.Image = imageFrom(read(t, path)[:512*200])
		_, to := salvaged(t, d, nil)
		wantInt(t, to, "SELECT count(*)>=95 FROM t WHERE a>900", 1)
		if t.Failed() {
			t.Fatal(mode)
		}
	}
}

// A transaction that was cut off is not in what is salvaged: its journal has the pages from before.
func TestSalvageRollsBack(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t SELECT i, 'committed' FROM n")
	c := connect(t, path)
	if err := c.Exec(t.Context(), "PRAGMA cache_size=5; BEGIN; UPDATE t SET b='not committed'; INSERT INTO t SELECT a+5000, b FROM t"); err != nil {
		t.Fatal(err)
	}
	main, journal := read(t, path), read(t, path+"-journal")
	if !bytes.Contains(main, []byte("not committed")) {
		t.Fatal("nothing of the transaction is in the file: this test shows nothing")
	}
	said, to := salvaged(t, Damaged{Image: imageFrom(main), Journal: imageFrom(journal)}, nil)
	wantInt(t, to, "SELECT count(*) FROM t WHERE b='committed'", 5000)
	if ordinary(said) != 5000 || said.LostAndFound != 0 {
		t.Errorf("%+v", said)
	}
	journal[len(journal)/2] ^= 1 // records beyond one that is not right do not count
	if said, _ := salvaged(t, Damaged{Image: imageFrom(main), Journal: imageFrom(journal)}, nil); ordinary(said)+said.LostAndFound < 5000 {
		t.Errorf("%+v", said)
	}
}

// badDisk fails for some bytes, times times for each place.
type badDisk struct {
	io.ReaderAt
	from, to int64
	times    map[int64]int
	err      error
}

func (d *badDisk) ReadAt(p []byte, off int64) (int, error) {
	if off < d.to && off+int64(len(p)) > d.from && d.times[off] != 0 {
		d.times[off]--
		return 0, d.err
	}
	return d.ReaderAt.ReadAt(p, off)
}

// deadDisk fails everywhere.
type deadDisk struct{}

func (deadDisk) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// A sector that the disk does not give costs what is on it; any other error ends the attempt.
func TestSalvageReadErrors(t *testing.T) {
	path := makeDB(t, "x.db", fmt.Sprintf(varied, ""))
	b := read(t, path)
	at := int64(20 * 512)
	disk := func(times int, err error) Damaged {
		d := &badDisk{bytes.NewReader(b), at, at + 512, map[int64]int{}, err}
		for off := int64(0); off < int64(len(b)); off += 512 {
			d.times[off] = times
		}
		return Damaged{Image: Image{R: d, Size: int64(len(b))}}
	}
	if said, _ := salvaged(t, disk(1, syscall.EIO), nil); !said.Complete {
		t.Errorf("an error that passes: %+v", said)
	}
	if said, _ := salvaged(t, disk(-1, syscall.EIO), nil); said.Complete || said.DiskErrors != 1 {
		t.Errorf("a bad sector: %+v", said)
	}
	if _, err := Salvage(t.Context(), disk(-1, syscall.EACCES), path, SalvageOptions{}); !errors.Is(err, syscall.EACCES) {
		t.Errorf("another error: %v", err)
	}
	broken := Damaged{Image: Image{R: deadDisk{}, Size: int64(len(b))}}
	if _, err := Salvage(t.Context(), broken, path, SalvageOptions{}); !errors.Is(err, syscall.EIO) || malformed(err) {
		t.Errorf("a disk that gives nothing: %v", err)
	}
	if !bytes.Equal(read(t, path), b) {
		t.Error("the damaged file has changed")
	}
}

// The magic string and the page size are gone: the pages themselves say how large they are.
func TestSalvageWithoutPageSize(t *testing.T) {
	for _, size := range []string{"512", "1024", "4096", "65536"} {
		path := makeDB(t, "x.db", strings.Replace(fmt.Sprintf(varied, ""), "page_size=512", "page_size="+size, 1))
		for _, with := range []string{"nothing", "another size"} {
			b := read(t, path)
			clear(b[:18])
			if with == "another size" {
				copy(b, sqlitefile.Magic)
				b[16] = 8 // 2048
			}
			_, to := salvaged(t, Damaged{Image: imageFrom(b)}, nil)
			if got, want := len(contents(t, to)), len(contents(t, path)); got != want {
				t.Errorf("%s, %s: %d rows, want %d", size, with, got, want)
			}
		}
	}
}

// Functions and collations of the application's are not known here.
func TestSalvageForeignSchema(t *testing.T) {
	path := makeDB(t, "y.db", "CREATE TABLE a(x TEXT CHECK(length(x)), y INT); INSERT INTO a VALUES('one',1); CREATE TABLE bb(x TEXT COLLATE NOCASE UNIQUE, y, z); INSERT INTO bb VALUES('one',2,3),('two',2,3); CREATE INDEX ax ON a(lower(x))",
		"PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql=replace(replace(replace(sql,'length(','valid8('),'NOCASE','GERMAN'),'lower(','stem7(')")
	said, to := salvaged(t, Damaged{Image: imageFrom(read(t, path))}, nil)
	if ordinary(said) != 3 || said.LostAndFound != 0 {
		t.Errorf("%+v", said)
	}
	if s := strings.Join(said.Skipped, "\n"); !strings.Contains(s, "table bb") || !strings.Contains(s, "index ax") {
		t.Errorf("not said: %s", s)
	}
	wantInt(t, to, "SELECT count(*) FROM bb", 2)
}

// Rows that another row keeps out of their table do not vanish.
func TestSalvageKeepsDuplicates(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE TABLE keep AS SELECT 1; INSERT INTO t VALUES(1,'x'),(2,'x'),(3,'y'); CREATE INDEX tb ON t(b)",
		"PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='CREATE UNIQUE INDEX tb ON t(b)' WHERE name='tb'")
	said, to := salvaged(t, Damaged{Image: imageFrom(read(t, path))}, nil)
	if said.LostAndFound != 1 {
		t.Errorf("%+v", said)
	}
	wantInt(t, to, "SELECT count(*) FROM lost_and_found WHERE table_name='t' AND row_id=2 AND c1='x' AND reason LIKE '%UNIQUE%'", 1)
}

// Virtual tables come with what their modules keep.
func TestSalvageFullText(t *testing.T) {
	path := makeDB(t, "x.db", "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES('good day'),('good night')")
	said, to := salvaged(t, Damaged{Image: imageFrom(read(t, path))}, nil)
	if !said.Complete {
		t.Errorf("%+v", said)
	}
	wantInt(t, to, "SELECT count(*) FROM f WHERE f MATCH 'good'", 2)
}

// For any bytes an attempt ends with a database that SQLite opens, or with a reason.
func FuzzSalvage(f *testing.F) {
	seedSidecars(f, func(files [3][]byte) { f.Add(files[0], files[1], files[2]) })
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, db, wal, journal []byte) {
		if len(db) > maxFuzzed || len(wal) > maxFuzzed || len(journal) > maxFuzzed {
			return
		}
		from := Damaged{Image: imageFrom(db), Log: sqlitefile.LogFile{R: bytes.NewReader(wal), Size: int64(len(wal))}, Journal: imageFrom(journal)}
		to := filepath.Join(dir, "to.db")
		put(t, to, nil)
		if _, err := Salvage(t.Context(), from, to, SalvageOptions{Dir: dir}); err != nil {
			if !malformed(err) {
				t.Errorf("not a reason: %v", err)
			}
			return
		}
		c := connect(t, to)
		defer c.Close()
		if s, err := c.Text(t.Context(), "PRAGMA integrity_check"); err != nil || s != "ok" {
			t.Logf("%s %v", s, err)
		}
	})
}
