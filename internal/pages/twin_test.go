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
			digest(t, a) // and meanwhile there are commits: no twin should be found
		}
		b, err := a.Twin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b != nil {
			twins++
			if x, y := digest(t, a), digest(t, b); !bytes.Equal(x, y) {
				at, _ := a.conn.LogPosition()
				t.Errorf("the twin of the snapshot at %+v has other pages", at)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	w.kill()
	if twins < 20 {
		t.Errorf("%d of 200 snapshots had a twin: too few to prove anything", twins)
	}
	t.Logf("%d twins of 200", twins)
}

// Where nobody has written for a while there is no log that tells states apart.
func TestTwinOfAQuietDatabase(t *testing.T) {
	db := filepath.Join(t.TempDir(), "data.db")
	shell(t, db, `PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1);`)
	a, err := Begin(t.Context(), db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := a.Twin(t.Context())
	if err != nil || b == nil {
		t.Fatalf("no twin: %v", err)
	}
	if !bytes.Equal(digest(t, a), digest(t, b)) {
		t.Error("the twin has other pages")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	// The first one still reads what it read, and nothing is left behind.
	shell(t, db, `INSERT INTO t VALUES(2); PRAGMA wal_checkpoint;`)
	c, err := a.Twin(t.Context())
	if err != nil || c != nil {
		t.Errorf("after a commit the twin is %v, %v: want none", c, err)
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
