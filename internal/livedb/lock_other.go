//go:build !linux

package livedb

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"example.com/snapd/internal/sqlite"
)

// exclusiveNeedsNoIndex: LockExclusive opens the database with SQLite, which opens the -shm.
const exclusiveNeedsNoIndex = false

func tryLockExclusive(ctx context.Context, path string) (unlock func() error, err error) {
	real, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	c, err := sqlite.Open(real, sqlite.Options{})
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	// In WAL mode only this locking mode keeps readers out.
	err = c.Exec(ctx, "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE")
	switch sqlite.Classify(err) {
	case sqlite.ClassBusy:
		return nil, errors.Join(fmt.Errorf("lock %s: %w: %w", real, ErrBusy, err), c.Close())
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return func() error { return nil }, c.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", real, err), c.Close())
	}
	return sync.OnceValue(func() error {
		err := c.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		if err != nil {
			err = fmt.Errorf("unlock %s: %w", real, err)
		}
		return errors.Join(err, c.Close())
	}), nil
}

func heldExclusively(*descriptor) bool { return false }
