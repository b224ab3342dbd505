package livedb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/sqlite"
)

const (
	// lockPoll is the interval at which a held lock is tried again.
	lockPoll = 10 * time.Millisecond
	// maxRefusals is how often in a row SQLite may refuse a strategy before the next
	// one is taken: a connection that closes or commits at the same instant deletes
	// files under us and makes it refuse once.
	maxRefusals = 3
	// maxMoving is how many private copies may be in vain because of changes during the copy.
	maxMoving = 20
)

// Options say how Begin reads a database.
type Options struct {
	// ScratchDir is where a private copy goes when the database cannot be read in
	// place; "" is the system's temporary directory.
	ScratchDir string
	// SecondReader asks for a second transaction of the same state; see Tx.SecondReader.
	SecondReader bool
	// AvoidReadMark0 asks to begin where writers are hindered least, which may take a
	// moment; see readMarkWait.
	AvoidReadMark0 bool
	// InPlace: a database that can be read only from a private copy is ErrCopyOnly. For a look
	// that is not worth a copy.
	InPlace bool
}

// ErrCopyOnly: the database cannot be read in place.
var ErrCopyOnly = errors.New("it can be read only from a private copy")

// Begin pins a committed state of the database at path, which may be a symbolic
// link. Locks are waited for until ctx ends: then ErrBusy if it was a deadline,
// the context's error if it was cancelled. Without a deadline it waits on.
// Other errors: ErrMissing, ErrNotRegular, ErrNotDatabase, ErrCorrupt, ErrPermission.
func Begin(ctx context.Context, path string, o Options) (*Tx, error) {
	var tx *Tx
	a := attempts{o: o}
	err := Wait(ctx, func() error {
		real, err := Locate(path)
		if err == nil {
			tx, err = a.next(ctx, real)
		}
		return err
	})
	if err != nil {
		return nil, Explain("snapshot", path, err)
	}
	return tx, nil
}

// attempts are those of one Begin.
type attempts struct {
	o       Options
	refused int // times in a row that SQLite refused to read in place
	moved   int // private copies in vain
}

// next tries once, by the strategy whose turn it is.
func (a *attempts) next(ctx context.Context, real string) (*Tx, error) {
	files, err := lookAround(real)
	if err == nil && !(files.WAL.Present && files.Index) && !writable(real) {
		files, err = Look(real) // the header has to say whether there will be a log
	}
	if err != nil {
		return nil, err
	}
	choices := files.Strategies(Needs{})
	turn := min(a.refused/maxRefusals, len(choices)-1)
	if a.o.InPlace && choices[turn].Strategy == PrivateCopy {
		return nil, ErrCopyOnly
	}
	tx, err := a.pin(ctx, files, choices[turn])
	switch {
	case err == nil:
		return tx, nil
	case errors.Is(err, ErrMoving):
		a.refused = 0
		if a.moved++; a.moved >= maxMoving {
			return nil, fmt.Errorf("%w; SQLite cannot read it in place and it is being written: "+
				"give this program the right to write to its directory: %v", ErrPermission, err)
		}
	case isBusy(err):
		a.refused = 0
	case Refused(err) && turn < len(choices)-1:
		a.refused++
		err = &refusal{err}
	}
	return nil, err
}

// pin opens the database by choice and pins its state.
func (a *attempts) pin(ctx context.Context, files Files, choice Choice) (*Tx, error) {
	if choice.Strategy == PrivateCopy {
		return beginPrivate(ctx, files, choice, a.o.ScratchDir)
	}
	t, err := files.Open(ctx, choice)
	if err != nil {
		return nil, err
	}
	t.tidies = true
	if err = t.pin(ctx); err == nil && a.o.AvoidReadMark0 {
		err = t.avoidReadMark0(ctx, t.info.readMarkWait())
	}
	if err == nil && a.o.SecondReader {
		err = t.OpenSecondReader(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// refusal is an error of one strategy after which the same or another is tried.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// Wait calls try until it succeeds, or fails for a reason that does not pass by itself
// (see Transient), or ctx ends: then its error is the last reason for waiting if that
// was a deadline, the context's if it was cancelled.
func Wait(ctx context.Context, try func() error) error {
	var held error
	for {
		err := try()
		switch {
		case Transient(err):
			held = err
		case held != nil && sqlite.Classify(err) == sqlite.ClassInterrupted && !errors.Is(err, context.Canceled):
			return held // the time ran out inside the attempt
		default:
			return err
		}
		t := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			t.Stop()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return held
			}
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Transient reports whether waiting may help: another process holds a lock, or changes the files.
func Transient(err error) bool {
	var r *refusal
	return isBusy(err) || errors.Is(err, ErrMoving) || errors.As(err, &r)
}

// isBusy reports whether another connection holds a lock. Protocol errors (15) are SQLite's way
// of saying that it lost too many races for the WAL's locks.
func isBusy(err error) bool {
	const protocol = 15
	var e *sqlite.Error
	return sqlite.Classify(err) == sqlite.ClassBusy || errors.As(err, &e) && e.Primary() == protocol
}

// Refused reports whether SQLite cannot read by a strategy and another one may do: it
// could not create or open -wal or -shm, may not recover the WAL (codes 14, and 8 with
// its extensions) or roll back (776), or may not write.
func Refused(err error) bool {
	switch sqlite.Classify(err) {
	case sqlite.ClassPermission, sqlite.ClassHotJournal:
		return true
	}
	return errors.Is(err, errReadOnly)
}
