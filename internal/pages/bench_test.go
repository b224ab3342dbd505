package pages

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/livedb"
)

// The reading half of every backup: nothing downstream can be faster.
func BenchmarkCopyTo(b *testing.B) {
	db := filepath.Join(b.TempDir(), "data.db")
	out, err := exec.Command("sqlite3", db, `PRAGMA journal_mode=wal; PRAGMA synchronous=off; CREATE TABLE t(id INTEGER PRIMARY KEY, a);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300000) INSERT INTO t(a) SELECT randomblob(900) FROM n`).CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for b.Loop() {
		s, err := Begin(b.Context(), db, livedb.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(s.Info().Bytes())
		if err := s.CopyTo(b.Context(), io.Discard, nil); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
