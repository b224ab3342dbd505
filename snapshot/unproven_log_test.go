package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

// SQLite 3.40 left the first frame of a log with the salts of another generation: every connection sees what was committed, by the
// log's index, and no one who reads the log does. Lost otherwise: all of it, by the next crash, as backups of it were refused.
func TestBackupSavesWhatOnlyTheIndexProves(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	writeFile(t, path, nil)
	app, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	exec := func(script string) {
		t.Helper()
		if err := app.Exec(t.Context(), script); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA page_size=4096; PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a); INSERT INTO t VALUES(1); PRAGMA wal_checkpoint(TRUNCATE)")
	b := benchOn(t, path)
	b.auto()
	exec("INSERT INTO t VALUES(2); INSERT INTO t VALUES(3)")
	log, err := os.OpenFile(path+"-wal", os.O_WRONLY, 0)
	if err == nil {
		_, err = log.WriteAt(make([]byte, 8), sqlitefile.WALHeaderSize+8)
	}
	if err != nil || log.Close() != nil {
		t.Fatal(err)
	}
	if r, err := b.m.Check(t.Context(), integrity.LevelQuick); err != nil || r.Verdict != integrity.Healthy || r.Findings[0].Code != integrity.CodeWALUnproven {
		t.Errorf("check: %+v, %v", r, err)
	}
	saved := b.auto()
	main, wal := readFile(t, path), readFile(t, path+"-wal") // as a crash leaves them
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + "-shm"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	writeFile(t, path, main)
	writeFile(t, path+"-wal", wal)
	testdb.Damaged(t, path)
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Restored == nil || *rec.Restored != saved.ID {
		t.Errorf("%+v, %v", rec, err)
	}
	if n := countRows(t, path, "t"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}
