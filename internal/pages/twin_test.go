package pages

import (
	"bytes"
	"crypto/sha256"
	"path/filepath"
	"testing"
)

// A check made on a twin would prove another state than the one that is stored, and a
// corrupt image could pass as verified, if the two ever differed.
func TestTwinIsTheSameState(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, `PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, a);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t(a) SELECT randomblob(300) FROM n;`)
	// A writer in another process that commits, checkpoints in every way, and lets the
	// log begin anew.
	w := python(t, db, `
c.execute("PRAGMA busy_timeout=5000")
ready()
import random
for i in range(10**9):
	c.execute("UPDATE t SET a=randomblob(300) WHERE id=?", (random.randrange(2000),))
	if i % 7 == 0:
		try: c.execute("PRAGMA wal_checkpoint(%s)" % random.choice(["passive", "full", "restart", "truncate"])).fetchall()
		except sqlite3.OperationalError: pass
`)
	twins := 0
	for i := range 200 {
		a, err := Begin(t.Context(), db, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			digest(t, a) // and meanwhile there are commits: it has to move on
		}
		if err := a.pair(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b := a.Twin(); b != nil {
			twins++
			if x, y := digest(t, a), digest(t, b); !bytes.Equal(x, y) {
				at, _ := a.conn.LogPosition()
				t.Errorf("the twin of the snapshot at %+v has other pages", at)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	w.kill()
	if twins < 190 {
		t.Errorf("only %d of 200 snapshots had a twin", twins)
	}
	t.Logf("%d twins of 200", twins)
}

// Where nobody has written for a while there is no log that tells states apart.
func TestTwinOfAQuietDatabase(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, `PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1);`)
	a, err := Begin(t.Context(), db, Options{Twin: true})
	if err != nil {
		t.Fatal(err)
	}
	b := a.Twin()
	if b == nil {
		t.Fatal("no twin")
	}
	want := digest(t, a)
	// Others write, and fold their log in as far as we let them.
	shell(t, db, `INSERT INTO t VALUES(2); PRAGMA wal_checkpoint;`)
	if !bytes.Equal(digest(t, a), want) || !bytes.Equal(digest(t, b), want) {
		t.Error("the twins no longer have the same pages")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if b.conn != nil {
		t.Error("the twin was not closed")
	}
}

func digest(t *testing.T, s *Snapshot) []byte {
	t.Helper()
	h := sha256.New()
	if err := s.CopyTo(t.Context(), h, nil); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}
