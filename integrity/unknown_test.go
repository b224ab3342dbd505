package integrity

import (
	"math/rand/v2"
	"os"
	"testing"

	"example.com/snapd/internal/sqlite"
)

// The application's own functions and collations are not known here; what they
// guard has trees all the same. Damage that a check finds where it knows them is
// found where it does not. Lost otherwise: the verdict on every database whose schema
// has one such function in it.
func TestDamageBehindUnknownFunctions(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		t.Run(encoding, func(t *testing.T) { damageBehindUnknown(t, encoding) })
	}
}

func damageBehindUnknown(t *testing.T, encoding string) {
	known := "PRAGMA encoding='" + encoding + `'; PRAGMA page_size=512;
		CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT CHECK(length(b)>0), g AS (abs(a)), c TEXT COLLATE RTRIM);
		CREATE INDEX tc ON t(c); CREATE INDEX tb ON t(lower(b)) WHERE abs(a)>0;
		CREATE TABLE w(k TEXT COLLATE RTRIM PRIMARY KEY, v) WITHOUT ROWID;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400) INSERT INTO t SELECT i, 'name '||i, 'c'||i%50 FROM n;
		INSERT INTO w SELECT b||hex(zeroblob(i%7*100)), a FROM (SELECT a, b, a AS i FROM t);`
	path := makeDB(t, "x.db", known)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	pages, found := len(sound)/512, 0
	for i := range 60 {
		b := append([]byte{}, sound...)
		at := (1+rnd.IntN(pages-1))*512 + rnd.IntN(16) // page headers and cell pointers
		b[at] ^= byte(1 << rnd.IntN(8))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		structural := false
		for _, f := range checkFull(t, path).Findings {
			structural = structural || f.Code.ofTrees()
		}
		if !structural {
			continue
		}
		found++
		c := connect(t, path)
		err := c.Exec(t.Context(), `PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql=replace(replace(replace(replace(sql,'length(','LENGTZ('),'abs(','ABZ('),'lower(','LOWEZ('),'RTRIM','RTRIZ')`)
		c.Close()
		if sqlite.Classify(err) == sqlite.ClassCorrupt {
			continue // the schema's own page
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []Level{LevelQuick, LevelFull} {
			rep, err := Check(t.Context(), path, Options{Level: level})
			if err != nil || rep.Verdict != Corrupt {
				t.Errorf("%d: byte %d: %v: %s %v %v", i, at, level, rep.Verdict, rep.Findings, err)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d of the damages are structural: this test shows little", found)
	}
}
