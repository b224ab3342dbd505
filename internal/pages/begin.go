package pages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

const (
	// lockPoll is how often a lock that somebody holds is tried again.
	lockPoll = 10 * time.Millisecond
	// maxRefusals is how often in a row SQLite may refuse to read in place before a
	// private copy is made: a connection that closes or commits at the same instant
	// deletes files under us and makes it refuse once.
	maxRefusals = 3
	// maxMoving is how many private copies may be spoilt by changes during the copy.
	maxMoving = 20
)

// Begin pins a committed state of the database at path, which may be a symbolic
// link. Locks are waited for until ctx ends: then ErrBusy if it was a deadline,
// the context's error if it was cancelled. Without a deadline it waits on.
// Other errors: ErrMissing, ErrNotFile, ErrNotDatabase, ErrCorrupt, ErrPermission.
func Begin(ctx context.Context, path string, o Options) (*Snapshot, error) {
	const op = "snapshot"
	refused, moved := 0, 0
	var held error // the last refusal for somebody's lock
	for {
		real, err := locate(op, path)
		if err != nil {
			return nil, err
		}
		s, err := attempt(ctx, real, o, refused >= maxRefusals)
		if err == nil {
			return s, nil
		}
		switch {
		case errors.Is(err, errMoving):
			refused = 0
			if moved++; moved >= maxMoving {
				return nil, fmt.Errorf("%s %s: %w; SQLite cannot read it in place and it is being written: "+
					"give this program the right to write to its directory: %w", op, path, ErrPermission, err)
			}
		case isBusy(err):
			refused, held = 0, err
		case ctx.Err() != nil && held != nil:
			return nil, cancelled(ctx, op, path, held) // the time ran out inside an attempt
		case refusedInPlace(err) && refused < maxRefusals:
			refused++
		default:
			return nil, explain(op, path, err)
		}
		if waitErr := pause(ctx); waitErr != nil {
			return nil, cancelled(ctx, op, path, err)
		}
	}
}

// attempt tries once: in place, or by way of a private copy.
func attempt(ctx context.Context, real string, o Options, inPlaceRefused bool) (*Snapshot, error) {
	before, err := lookBeside(real)
	if err != nil {
		return nil, err
	}
	copyFirst := inPlaceRefused
	if !copyFirst && before.wouldLeaveForeign() && !writable(real) {
		if copyFirst, err = isWAL(real); err != nil {
			return nil, err
		}
	}
	if copyFirst {
		return beginPrivate(ctx, real, o)
	}
	c, info, err := begin(ctx, real, sqlite.Options{ReadOnly: true, Untrusted: true})
	if err != nil {
		return nil, errors.Join(err, before.tidy(real))
	}
	s := &Snapshot{path: real, conn: c, info: info, before: before}
	if o.Aside {
		err = s.stepAside(ctx, info.aside())
	}
	if err == nil && o.Twin {
		err = s.pair(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// isWAL reads the header's read version. It is asked only where SQLite cannot be.
func isWAL(real string) (bool, error) {
	f, err := livedb.Open(real)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var b [2]byte
	if n, err := f.ReadAt(b[:], hdrWriteFormat); n < len(b) {
		return false, ignoreEOF(err) // too short to be a database: SQLite will say so
	}
	return b[0] == 2 || b[1] == 2, nil
}

// isBusy reports whether waiting may help. Protocol errors (15) are SQLite's way
// of saying that it lost too many races for the WAL's locks.
func isBusy(err error) bool {
	var e *sqlite.Error
	return sqlite.Classify(err) == sqlite.ClassBusy || errors.As(err, &e) && e.Primary() == sqliteProtocol
}

// refusedInPlace: SQLite could not create or open -wal or -shm, or may not
// recover the WAL (codes 14, and 8 with its extensions), or not roll back (776).
func refusedInPlace(err error) bool {
	class := sqlite.Classify(err)
	return class == sqlite.ClassPermission || class == sqlite.ClassHotJournal
}

// Result codes (https://www.sqlite.org/rescode.html).
const (
	sqliteReadOnly = 8
	sqliteProtocol = 15
)

// pause waits one poll, or returns why not.
func pause(ctx context.Context) error {
	t := time.NewTimer(lockPoll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// size returns the size of a file, -1 when there is none.
func size(path string) (int64, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
