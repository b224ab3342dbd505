package pages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// sidecars is what lay beside a database before we opened it; sizes in bytes, -1
// for a file that was not there.
type sidecars struct{ wal, shm int64 }

func lookBeside(real string) (sidecars, error) {
	wal, err := size(real + "-wal")
	if err != nil {
		return sidecars{}, err
	}
	shm, err := size(real + "-shm")
	return sidecars{wal: wal, shm: shm}, err
}

// wouldLeaveForeign reports whether reading a WAL database now creates files.
// Where we may not write the database, those files would be ours, and the
// application might not be able to use them.
func (b sidecars) wouldLeaveForeign() bool { return b.wal < 0 || b.shm < 0 }

// tidy removes what SQLite created beside the database for our reading, unless
// somebody else uses it by now. Our connection is closed.
func (b sidecars) tidy(real string) error {
	if b.wal > 0 && b.shm >= 0 {
		return nil
	}
	now, err := lookBeside(real)
	if err != nil {
		return err
	}
	switch {
	case b.wal <= 0 && now.wal == 0:
		// An empty one that was there before is most likely another snapshot's, which
		// has ended since, or was killed; it holds nothing.
		return removeEmptyWAL(real)
	case b.wal > 0 && b.shm < 0 && now.shm >= 0:
		return removeIndex(real)
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
		if n, err = size(real + "-wal"); err == nil && n == 0 {
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
	now, cancel := context.WithCancel(context.Background())
	cancel() // one attempt
	unlock, err := livedb.LockExclusive(now, real)
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrPermission) {
			return nil // in use, or not ours to lock
		}
		return err
	}
	err = os.Remove(real + "-shm")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("remove the WAL index: %w", err)
	}
	return errors.Join(err, unlock())
}

// harmless drops errors that mean only that the files stay: somebody uses them.
func harmless(err error) error {
	switch sqlite.Classify(err) {
	case sqlite.ClassBusy, sqlite.ClassPermission:
		return nil
	}
	return err
}
