package livedb

import (
	"bytes"
	"crypto/sha256"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// A check made by the second reader would prove another state than the one that is stored, and a
// corrupt image could pass as verified, if the two ever differed.
func TestSecondReaderSeesTheSameState(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	run(t, db, `PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, a);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t(a) SELECT randomblob(300) FROM n;`)
	// A writer in another process that commits, checkpoints in every way, and lets the
	// log restart.
	stop := startPython(t, db, `
c.execute("PRAGMA busy_timeout=5000")
ready()
import random
for i in range(10**9):
	c.execute("UPDATE t SET a=randomblob(300) WHERE id=?", (random.randrange(2000),))
	if i % 7 == 0:
		try: c.execute("PRAGMA wal_checkpoint(%s)" % random.choice(["passive", "full", "restart", "truncate"])).fetchall()
		except sqlite3.OperationalError: pass
`)
	seconds := 0
	for i := range 200 {
		a, err := Begin(t.Context(), db, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			digest(t, a) // and meanwhile there are commits: it has to move on
		}
		if err := a.OpenSecondReader(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b := a.SecondReader(); b != nil {
			seconds++
			if x, y := digest(t, a), digest(t, b); !bytes.Equal(x, y) {
				at, _ := a.conn.LogPosition()
				t.Errorf("the second reader of the snapshot at %+v sees other pages", at)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	stop()
	if seconds < 190 {
		t.Errorf("only %d of 200 snapshots had a second reader", seconds)
	}
	t.Logf("%d second readers of 200", seconds)
}

// Without recent writes there is no log that distinguishes states.
func TestSecondReaderOfAQuietDatabase(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	run(t, db, `PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1);`)
	a, err := Begin(t.Context(), db, Options{SecondReader: true})
	if err != nil {
		t.Fatal(err)
	}
	b := a.SecondReader()
	if b == nil {
		t.Fatal("no second reader")
	}
	want := digest(t, a)
	// Others write, and fold their log in as far as we let them.
	run(t, db, `INSERT INTO t VALUES(2); PRAGMA wal_checkpoint;`)
	if !bytes.Equal(digest(t, a), want) || !bytes.Equal(digest(t, b), want) {
		t.Error("they no longer see the same pages")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if b.conn != nil {
		t.Error("the second reader was not closed")
	}
}

func digest(t *testing.T, x *Tx) []byte {
	t.Helper()
	h := sha256.New()
	err := x.conn.Each(t.Context(), "SELECT data FROM sqlite_dbpage ORDER BY pgno", func(s *sqlite.Stmt) error {
		_, err := h.Write(s.Blob(0))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}
