package livedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// tidy removes what SQLite created next to the database for our reading, unless
// another process uses it by now. Our connection is closed.
func (f Files) tidy() error {
	wal, err := size(sqlitefile.WAL(f.path))
	if err != nil {
		return err
	}
	switch {
	case wal == 0 && (f.WAL.Size == 0 || IndexIdle(f.path)):
		// One that was empty before is most likely another snapshot's, which has ended
		// since, or was killed. One that was not has been deleted since by its last user, and
		// was made again for us. Either holds nothing.
		return removeEmptyWAL(f.path)
	case f.WAL.Size > 0 && !f.Index:
		return removeIndex(f.path)
	}
	return nil
}

// removeEmptyWAL lets SQLite do it: the last connection to close deletes -wal and
// -shm, under the locks that keep others from needing them. There is nothing in the
// WAL to checkpoint.
func removeEmptyWAL(real string) error {
	c, err := sqlite.Open(real, sqlite.Options{})
	if err != nil {
		return harmless(err)
	}
	err = c.Exec(context.Background(), "PRAGMA schema_version")
	if err == nil {
		// Only now: were the WAL no longer empty, closing would checkpoint it.
		var n int64
		if n, err = size(sqlitefile.WAL(real)); err == nil && n == 0 {
			err = c.CheckpointOnClose()
		}
	}
	return harmless(errors.Join(err, c.Close()))
}

// removeIndex removes the -shm that SQLite built for our reading of a WAL whose
// owner had died. Every user of a WAL holds a shared lock on the main file for as
// long as it has the index open, so an exclusive lock proves that there is none.
// Elsewhere than on Linux that lock would itself need the index, which stays then:
// the next user rebuilds it.
func removeIndex(real string) error {
	if !exclusiveNeedsNoIndex {
		return nil
	}
	if n, err := size(sqlitefile.SHM(real)); err != nil || n < 0 {
		return err
	}
	now, cancel := context.WithCancel(context.Background())
	cancel() // one attempt
	unlock, err := LockExclusive(now, real)
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrPermission) {
			return nil // in use, or not ours to lock
		}
		return err
	}
	err = os.Remove(sqlitefile.SHM(real))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("remove the WAL index: %w", err)
	}
	return errors.Join(err, unlock())
}

// harmless drops errors that mean only that the files stay: they are in use.
func harmless(err error) error {
	switch sqlite.Classify(err) {
	case sqlite.ClassBusy, sqlite.ClassPermission:
		return nil
	}
	return err
}
