package snapshot_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

func TestSmoke(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "data.db")
		if err := samplecrm.Create(t.Context(), path, samplecrm.Options{Bytes: 4 << 20, Seed: 1, JournalMode: mode}); err != nil {
			t.Fatal(err)
		}
		m, err := snapshot.Open(snapshot.Config{Database: path, OnEvent: func(e snapshot.Event) { t.Log(e.Type, e.Phase, e.Message, e.Err) }})
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Backup(t.Context(), snapshot.Manual("x"))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", b)
		rec, err := m.Recover(t.Context())
		t.Logf("%+v %v", rec, err)
		db, _ := sql.Open("sqlite", "file:"+path)
		defer db.Close()
		if _, err := db.Exec("DELETE FROM transfers"); err != nil {
			t.Fatal(err)
		}
		var res snapshot.RestoreResult
		if err := m.Restore(t.Context(), b.ID, snapshot.RestoreOptions{Result: &res}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", res)
		var n int
		if err := db.QueryRow("SELECT count(*) FROM transfers").Scan(&n); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		bdb, err := m.OpenBackup(t.Context(), *res.SafetyBackup)
		if err != nil {
			t.Fatal(err)
		}
		if err := bdb.QueryRow("SELECT count(*) FROM transfers").Scan(&n); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		bdb.Close()
		st, err := m.Status(t.Context())
		t.Logf("%+v %v", st, err)
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		more, _ := filepath.Glob(filepath.Join(dir, "backups", "*"))
		t.Log(files, more)
	}
}
