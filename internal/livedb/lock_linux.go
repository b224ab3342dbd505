package livedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"example.com/snapd/internal/sqlitefile"
)

// exclusiveNeedsNoIndex: LockExclusive leaves SQLite, and so the -shm, alone.
const exclusiveNeedsNoIndex = true

func tryLockExclusive(_ context.Context, path string) (unlock func() error, err error) {
	real, err := Resolve(path)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	d, err := acquire(real, os.O_RDWR, locking)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	release := func() error {
		held.Lock()
		defer held.Unlock()
		return d.release()
	}
	err = setLock(d, unix.F_WRLCK)
	if err != nil {
		err = errors.Join(err, release())
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, fmt.Errorf("lock %s: %w", path, ErrBusy)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return sync.OnceValue(func() error {
		err := setLock(d, unix.F_UNLCK)
		if err != nil {
			err = fmt.Errorf("unlock %s: %w", path, err)
		}
		return errors.Join(err, release())
	}), nil
}

// setLock sets or clears the lock through d's own open file description, which
// therefore conflicts with this process's POSIX locks as with any other's.
func setLock(d *descriptor, kind int16) error {
	l := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: sqlitefile.LockByte, Len: sqlitefile.LockBytes}
	return unix.FcntlFlock(d.Fd(), unix.F_OFD_SETLK, &l)
}

// heldExclusively reports whether a lock is in the way of every reader: SQLite's EXCLUSIVE.
// It is asked through d's own open file description, and sets none.
func heldExclusively(d *descriptor) bool {
	const shared = 2 // where the bytes that readers lock begin
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: sqlitefile.LockByte + shared, Len: sqlitefile.LockBytes - shared}
	return unix.FcntlFlock(d.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type == unix.F_WRLCK
}
