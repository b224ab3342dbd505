package livedb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/sqlite"
)

// LockExclusive keeps every SQLite connection, of this process too, from
// reading or writing the database file at path until unlock is called (SQLite's
// EXCLUSIVE state). It tries at least once and then until ctx ends; ErrBusy when
// another process still held a lock then, the context's error when it was cancelled. A
// connection that is open but idle in a rollback-journal mode holds no lock and
// is not noticed: see UsageOf. The lock is one on the file that path names now,
// not on the name. unlock may be called twice.
//
// On Linux it is an OFD write lock on SQLite's lock bytes, and works on any
// file, damaged or not. Elsewhere it is taken through SQLite; a file that SQLite
// cannot read is then not locked at all, and unlock does nothing: on those systems
// a damaged database must be protected by stopping its users.
func LockExclusive(ctx context.Context, path string) (unlock func() error, err error) {
	for {
		unlock, err = tryLockExclusive(ctx, path)
		if !errors.Is(err, ErrBusy) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
			}
			return nil, err
		case <-time.After(lockPoll):
		}
	}
}

// CheckReadable returns a busy error where a connection, of this process too, keeps all others
// from reading the database that f saw. SQLite finds that out by itself where it opens
// the file; a copy, and the bytes of a log, have to ask: in exclusive locking mode the
// log's index is in the memory of the one who has the lock. Elsewhere than on Linux it
// is not known, and nil.
func (f Files) CheckReadable() error {
	file, err := Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close() // it is only asked about
	if !heldExclusively(file.d) {
		return nil
	}
	const busy = 5 // https://www.sqlite.org/rescode.html
	return &sqlite.Error{Op: "read", Code: busy, Msg: "a connection holds the exclusive lock"}
}
