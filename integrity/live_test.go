package integrity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/sqlitefile"
)

// writer commits as fast as it can, with vacuum and checkpoints now and then.
const writer = `
import sqlite3, sys, select, time
c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
c.execute("PRAGMA journal_mode=" + MODE)
i = 0
print("r", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    i += 1
    time.sleep(0.002)
    try:
        c.execute("BEGIN IMMEDIATE")
        c.execute("INSERT INTO t(b) VALUES(hex(randomblob(500)))")
        if i % 3 == 0: c.execute("DELETE FROM t WHERE a=(SELECT min(a) FROM t)")
        c.execute("COMMIT")
        if i % 50 == 0: c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if i % 70 == 0: c.execute("DELETE FROM t WHERE a < (SELECT max(a) FROM t) - 20")
        if i % 140 == 0: c.execute("VACUUM")
    except sqlite3.OperationalError as e:
        if "locked" not in str(e): raise
        if c.in_transaction: c.execute("ROLLBACK")
`

// A database that another process writes, grows, shrinks and checkpoints is
// healthy whenever one looks: a false alarm here would restore an old backup over it.
func TestNextToAWriter(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "truncate", "persist", "memory"} {
		t.Run(mode, func(t *testing.T) {
			path := makeDB(t, "x.db", "PRAGMA journal_mode="+mode+"; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT CHECK(length(b)>0)); CREATE INDEX tb ON t(b); INSERT INTO t(b) VALUES('x')")
			stop := python(t, "MODE='"+mode+"'"+writer, path)
			defer stop()
			for end := time.Now().Add(time.Second); time.Now().Before(end); {
				for level := LevelHeader; level <= LevelFull; level++ {
					rep, err := Check(t.Context(), path, Options{Level: level, LockWait: 10 * time.Second})
					if err != nil || rep.Verdict != Healthy {
						t.Fatalf("%v: %+v, %v", level, rep, err)
					}
				}
			}
		})
	}
}

// No finding in any sound database, and nothing about it changes.
func TestSoundDatabases(t *testing.T) {
	t.Parallel()
	const content = `CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL CHECK(length(b)>0), c REAL, d BLOB);
		CREATE UNIQUE INDEX tb ON t(b); CREATE INDEX te ON t(abs(a)) WHERE c>1;
		CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE s(a INT, b TEXT) STRICT;
		CREATE TABLE g(a INT, b INT AS (a*2) STORED, c INT AS (a+1)); CREATE INDEX gi ON g(b);
		CREATE VIRTUAL TABLE f USING fts5(a); CREATE VIRTUAL TABLE r USING rtree(id,x0,x1);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300)
		INSERT INTO t SELECT i, 'name ' || i, i/7.0, zeroblob(i*20) FROM n;
		INSERT INTO w SELECT b,a FROM t; INSERT INTO s SELECT a,b FROM t; INSERT INTO g(a) SELECT a FROM t;
		INSERT INTO f SELECT b FROM t; INSERT INTO r SELECT a,c,c+1 FROM t; DELETE FROM t WHERE a%3=0;`
	for _, pageSize := range []int{512, 4096, 65536} {
		for _, setup := range []string{"auto_vacuum=0", "auto_vacuum=1", "auto_vacuum=2", "encoding='UTF-16be'"} {
			for _, mode := range []string{"delete", "wal", "wal, in use"} {
				journal := mode
				if mode == "wal, in use" {
					journal = "wal"
				}
				t.Run(fmt.Sprint(pageSize, setup, mode), func(t *testing.T) {
					path := makeDB(t, "x.db", fmt.Sprintf("PRAGMA page_size=%d; PRAGMA %s; PRAGMA journal_mode=%s; %s", pageSize, setup, journal, content))
					if mode == "wal, in use" {
						c := connect(t, path)
						if err := c.Exec(t.Context(), "INSERT INTO s SELECT a,b FROM t"); err != nil {
							t.Fatal(err)
						}
					}
					soundAndUntouched(t, path)
				})
			}
		}
	}
}

func soundAndUntouched(t *testing.T, path string) {
	t.Helper()
	age(t, filepath.Dir(path))
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if _, err := os.Stat(path + suffix); err == nil {
			age(t, path+suffix)
		}
	}
	before := traces(t, filepath.Dir(path))
	for level := LevelHeader; level <= LevelFull; level++ {
		rep, err := Check(t.Context(), path, Options{Level: level})
		if err != nil || rep.Verdict != Healthy || len(rep.Findings) > 0 {
			t.Fatalf("%v: %+v, %v", level, rep, err)
		}
	}
	after := traces(t, filepath.Dir(path))
	delete(before, path+"-shm") // the index of a log in use is SQLite's to write
	delete(after, path+"-shm")
	if !maps.Equal(before, after) {
		t.Error("the check left traces")
	}
	accounted(t, path)
}

// accounted runs the fallback for schemas that cannot be evaluated on a sound
// database: it must not find anything either.
func accounted(t *testing.T, path string) {
	t.Helper()
	conn := connect(t, path)
	s := &sqlCheck{conn: conn, found: &results{}}
	if err := s.byTable(t.Context(), "quick_check"); err != nil || len(s.found.findings) > 0 {
		t.Errorf("table by table: %v, %v", s.found.findings, err)
	}
	if err := s.conn.Close(); err != nil {
		t.Error(err)
	}
}

// A database that stays locked cannot be checked, which is no verdict.
func TestLocked(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", "CREATE TABLE t(a)")
	stop := python(t, `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN EXCLUSIVE")
print("r", flush=True)
sys.stdin.read()`, path)
	defer stop()
	for name, check := range map[string]func() error{
		"wait": func() error {
			_, err := Check(t.Context(), path, Options{LockWait: 100 * time.Millisecond})
			return err
		},
		"deadline": func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := Check(ctx, path, Options{})
			return err
		},
	} {
		var e *CheckError
		if err := check(); !errors.As(err, &e) || e.Code != ErrCodeBusy || e.Hint == "" || e.Path != path {
			t.Errorf("%s: %#v", name, err)
		}
	}
}

// A database in WAL mode that one connection holds in exclusive locking mode has its
// log's index in that process's memory: without its locks nothing can be said about it.
func TestExclusiveLockingMode(t *testing.T) {
	path := makeDB(t, "x.db", "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
	stop := python(t, `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA locking_mode=EXCLUSIVE")
c.execute("PRAGMA wal_autocheckpoint=0")
c.execute("INSERT INTO t VALUES(1)")
print("r", flush=True)
sys.stdin.read()`, path)
	defer stop()
	for _, level := range []Level{LevelHeader, LevelQuick, LevelFull} {
		_, err := Check(t.Context(), path, Options{Level: level, LockWait: 50 * time.Millisecond})
		var e *CheckError
		if !errors.As(err, &e) || e.Code != ErrCodeBusy || !strings.Contains(err.Error(), "python") {
			t.Errorf("level %s: %v", level, err)
		}
	}
}

// A check inside a caller's transaction sees what the transaction sees, and hands
// the connection back with the transaction open and no setting changed.
func TestInTransaction(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", "PRAGMA journal_mode=wal; CREATE TABLE t(a CHECK(a>0)); INSERT INTO t VALUES(1)")
	c := connect(t, path)
	if err := c.Exec(t.Context(), "BEGIN; SELECT * FROM t"); err != nil {
		t.Fatal(err)
	}
	w := connect(t, path)
	if err := w.Exec(t.Context(), "PRAGMA ignore_check_constraints=1; INSERT INTO t VALUES(-1)"); err != nil {
		t.Fatal(err)
	}
	rep, err := CheckTx(t.Context(), c, Options{})
	if err != nil || rep.Verdict != Healthy {
		t.Fatalf("%+v, %v", rep, err)
	}
	if v, err := c.Int(t.Context(), "PRAGMA cell_size_check"); v != 0 || err != nil {
		t.Errorf("cell_size_check left at %d, %v", v, err)
	}
	if err := c.Exec(t.Context(), "COMMIT; BEGIN"); err != nil {
		t.Fatalf("the transaction was ended: %v", err)
	}
	if rep, err = CheckTx(t.Context(), c, Options{}); err != nil || rep.Verdict != Violations {
		t.Fatalf("%+v, %v", rep, err)
	}
}

// endless evaluates an endless expression for every row.
const endless = `CREATE TABLE t(a); INSERT INTO t VALUES(1),(2),(3),(4),(5),(6),(7),(8),(9),(10);
	CREATE TABLE u(a CHECK(length(%s)>0)); PRAGMA ignore_check_constraints=1; INSERT INTO u VALUES('x')`

// A deadline ends a check within a second, also inside one long step of quick_check.
func TestDeadlineInsideCheck(t *testing.T) {
	path := makeDB(t, "x.db", fmt.Sprintf(endless, "replace(hex(zeroblob(200000)),'00','ab')||a"))
	c := connect(t, path)
	if err := c.Exec(t.Context(), "PRAGMA ignore_check_constraints=1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO u SELECT 'x' FROM n"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Check(ctx, path, Options{})
	var e *CheckError
	if !errors.As(err, &e) || e.Code != ErrCodeCancelled {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > boundTime { // a second, and what a busy machine adds
		t.Errorf("ended %v after the start, the deadline was 200 ms", d)
	}
}

// A single function call, in which SQLite cannot be interrupted, does not take
// hours because it was given two crafted strings.
func TestCostlyFunction(t *testing.T) {
	path := makeDB(t, "x.db", fmt.Sprintf(endless, "instr(hex(zeroblob(250000))||a, hex(zeroblob(100000))||'1')||'x'"))
	start := time.Now()
	rep, err := Check(t.Context(), path, Options{})
	if err != nil || rep.Verdict != Healthy || len(rep.Findings) != 1 || rep.Findings[0].Code != CodeUncheckedRows {
		t.Errorf("%+v, %v", rep, err)
	}
	if d := time.Since(start); d > boundTime {
		t.Errorf("ended %v after the start", d)
	}
}

// One value of a schema's making may not take the machine's memory; the rest of
// the database is still checked.
func TestHugeValue(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", fmt.Sprintf(endless, "hex(zeroblob(400000000))"))
	rep, err := Check(t.Context(), path, Options{Level: LevelFull})
	if err != nil || rep.Verdict != Healthy || len(rep.Findings) != 1 || rep.Findings[0].Code != CodeUncheckedRows {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestNotFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Check(t.Context(), dir, Options{})
	var e *CheckError
	if !errors.As(err, &e) || e.Code != ErrCodeNotAFile {
		t.Errorf("directory: %v", err)
	}
	for _, name := range []string{"none.db", "nowhere/none.db"} {
		rep, err := Check(t.Context(), filepath.Join(dir, name), Options{})
		if err != nil || rep.Verdict != Missing || rep.Damaged() {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
	}
}

// SQLite deletes the file that a journal names as its super-journal; old versions
// which can be any file. A crafted journal must not make a check delete it.
func TestSuperJournalSurvives(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", "CREATE TABLE t(a); INSERT INTO t VALUES(1)")
	victim := filepath.Join(t.TempDir(), "x.db-mj01234569AB")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, head := range map[string][]byte{"good": []byte(sqlitefile.JournalMagic), "bad": []byte("\xd9bad")} {
		j := make([]byte, 512)
		copy(j, head)
		j[15] = 0 // no records
		copy(j[16:], []byte{0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 16, 0})
		sum := uint32(0)
		for _, c := range []byte(victim) {
			sum += uint32(c)
		}
		j = append(append(j, 0, 0, 0, 9), victim...)
		for _, v := range []uint32{uint32(len(victim)), sum} {
			j = append(j, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
		}
		j = append(j, sqlitefile.JournalMagic...)
		if err := os.WriteFile(path+"-journal", j, 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := Check(t.Context(), path, Options{})
		if err != nil || rep.Verdict != Healthy {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
		if _, err := os.Stat(victim); err != nil {
			t.Fatalf("%s: the check deleted another file: %v", name, err)
		}
	}
}
