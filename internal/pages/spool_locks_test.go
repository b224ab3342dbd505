package pages

import (
	"bytes"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/livedb"
)

// The spool reads the file behind SQLite's back. What could write into it meanwhile, in
// any mode, must be held off as long as the snapshot is open, and not only as long
// as no descriptor is closed: else the image mixes two states.
func TestSpoolKeepsWritersOut(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t SELECT value, randomblob(3000) FROM generate_series(1,1500)")
	want, err := os.ReadFile(db) // it is not open yet
	if err != nil {
		t.Fatal(err)
	}
	app := python(t, db, `
ready()
for line in sys.stdin:
    o = sqlite3.connect(db, isolation_level=None, timeout=0)
    try:
        for s in line.strip().split(";"): o.execute(s).fetchall()
        print("done", flush=True)
    except sqlite3.OperationalError as e:
        print(e, flush=True)
    o.close()
`)
	writers := []string{"BEGIN IMMEDIATE;UPDATE t SET a=randomblob(3000);COMMIT"}
	for _, mode := range []string{"off", "memory", "persist", "truncate", "wal"} {
		writers = append(writers, "PRAGMA journal_mode="+mode+";UPDATE t SET a=randomblob(3000)")
	}
	for _, pragma := range []string{"locking_mode=exclusive", "cache_size=5", "mmap_size=100000000", "synchronous=off"} {
		writers = append(writers, "PRAGMA "+pragma+";UPDATE t SET a=randomblob(3000)")
	}
	writers = append(writers, "VACUUM", "PRAGMA cache_size=5;PRAGMA journal_mode=off;BEGIN;DELETE FROM t WHERE id>700;UPDATE t SET a=1;COMMIT")
	for _, reads := range []int{1, 2} { // the second one uses a descriptor that was kept
		s, err := Begin(t.Context(), db, livedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		refused := func(when string) {
			t.Helper()
			for _, w := range writers {
				if got := app.say(w); !strings.Contains(got, "locked") {
					t.Errorf("%d, %s: %s: %s", reads, when, w, got)
				}
			}
		}
		f := s.ImageFile(t.Context())
		if f == nil {
			t.Fatal("the file is not read: nothing is proven")
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		var image bytes.Buffer
		batches := 0
		err = s.Spool(t.Context(), interrupted{&image, func() {
			if batches++; batches == 2 {
				refused("in mid-read")
			}
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sameBytes(t, "image", image.Bytes(), want)
		refused("afterwards")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := app.say(writers[0]); got != "done" {
		t.Errorf("when all is over: %s", got)
	}
}

// The host is in the middle of a transaction, in this process: a spool that dropped
// its locks would let another process write into that.
func TestSpoolKeepsTheApplicationsLocks(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(3000000))")
	host, err := sql.Open("sqlite", db)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	conn, err := host.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE; INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		if out := shellFails(t, db, "INSERT INTO t VALUES(2)"); !strings.Contains(out, "locked") {
			t.Error(out)
		}
	}
	for range 3 {
		s, err := Begin(t.Context(), db, livedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Spool(t.Context(), interrupted{discard{}, refused}, nil); err != nil {
			t.Fatal(err)
		}
		refused()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		refused()
	}
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool(t, "sqlite3"), db, "PRAGMA integrity_check; SELECT count(*) FROM t").CombinedOutput(); err != nil || string(out) != "ok\n2\n" {
		t.Errorf("%s %v", out, err)
	}
}
