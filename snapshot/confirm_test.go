package snapshot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"example.com/snapd/internal/archive"
)

// A sound backup that was read wrongly once would be out of recovery for good.
func TestOneBadReadMarksNoBackupFailed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "data.db")
	writeDatabase(t, path)
	m, err := Open(ctx, Config{Database: path})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Backup(ctx, Manual(""))
	if err != nil {
		t.Fatal(err)
	}
	err = proverOf(ctx, m, Event{}).MarkFailed(ctx, b, fmt.Errorf("restore: %w: frame 0", archive.ErrDamaged))
	if err == nil || errors.Is(explain(err), ErrCorrupt) {
		t.Errorf("a bad read of a sound backup gives %v", err)
	}
	if now, err := m.Find(b.ID); err != nil || now.Verification.State != Verified {
		t.Errorf("the backup is %+v, %v", now.Verification, err)
	}
}

func writeDatabase(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t(a); INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
