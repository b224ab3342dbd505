package integrity

import (
	"os"
	"testing"
)

// BenchmarkCheck measures each level on a database of about 30 MB, in MB of
// database per second.
func BenchmarkCheck(b *testing.B) {
	path := makeDB(b, "x.db", `CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT NOT NULL, created TEXT, balance INT CHECK(balance>=0));
		CREATE INDEX a1 ON account(name); CREATE TABLE note(id INTEGER PRIMARY KEY, account INT REFERENCES account(id), body TEXT); CREATE INDEX n1 ON note(account);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100000) INSERT INTO account SELECT i, 'customer '||hex(randomblob(8)), datetime(1700000000+i*37,'unixepoch'), i FROM n;
		INSERT INTO note SELECT id, id, name||' has a note of about a hundred bytes, as people write them about customers: '||name FROM account`)
	fi, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for level := LevelHeader; level <= LevelFull; level++ {
		b.Run(level.String(), func(b *testing.B) {
			b.SetBytes(fi.Size())
			for b.Loop() {
				if rep, err := Check(b.Context(), path, Options{Level: level}); err != nil || rep.Verdict != Healthy {
					b.Fatalf("%+v, %v", rep, err)
				}
			}
		})
	}
}
