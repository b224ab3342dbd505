package swap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// ApplyWAL has SQLite do what it would at the application's next start: roll back a
// transaction that a crash cut short, and checkpoint a -wal that a crash left. Without
// sidecars a swap is one rename, and an application that opens the database after a crash
// in the middle of it finds the old state or the new one, even before Finish. No process
// may have the database open, and its sidecars must be sound: SQLite drops what is not. A
// database that SQLite cannot read stays as it is.
func (t *Target) ApplyWAL(ctx context.Context) error {
	c, err := sqlite.Open(t.Database, sqlite.Options{BusyTimeout: t.LockWait})
	if err != nil {
		return fmt.Errorf("apply the WAL: %w", err)
	}
	err = errors.Join(c.CheckpointOnClose(), c.Exec(ctx, "BEGIN IMMEDIATE; ROLLBACK; PRAGMA wal_checkpoint(TRUNCATE)"), c.Close())
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return nil
	case sqlite.ClassBusy:
		return fmt.Errorf("apply the WAL: %w: %w", livedb.ErrBusy, err)
	}
	if err != nil {
		return fmt.Errorf("apply the WAL: %w", err)
	}
	// SQLite does not report that a checkpoint at the close failed, and what remains would be removed.
	if log, err := os.Stat(sqlitefile.WAL(t.Database)); err == nil && log.Size() > 0 {
		return fmt.Errorf("apply the WAL: %d bytes of it remain", log.Size())
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("apply the WAL: %w", err)
	}
	t.point("WAL applied")
	return nil
}
