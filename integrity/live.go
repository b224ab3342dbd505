package integrity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

const (
	// poll is how often a lock or a moving file is looked at again; it also bounds
	// how long SQLite itself waits, because its waiting cannot be interrupted.
	poll = 25 * time.Millisecond
	// clockTick is the coarsest step in which common file systems stamp writes: a
	// file that was stamped this long ago and is written again gets another stamp.
	clockTick = 20 * time.Millisecond
)

// errGone says that the database file is not there (any more). It is apart from
// fs.ErrNotExist, which a missing scratch directory gives as well.
var errGone = errors.New("the database file is gone")

// errMoving says that the files changed while they were read: look again.
var errMoving = errors.New("the database changes faster than it can be read")

// liveCheck judges a database that others may be using.
type liveCheck struct {
	path   string    // resolved
	index  *walIndex // of this attempt, read before the files; nil for none
	o      Options
	giveUp time.Time // end of waiting for locks
}

// run repeats attempts until one was not disturbed by somebody else.
func (l *liveCheck) run(ctx context.Context) (*results, *Level, error) {
	var waiting error // why the last attempt came to nothing
	for {
		t, failed, err := l.attempt(ctx)
		if err == nil {
			return t, failed, nil
		}
		if waiting != nil && errors.Is(err, context.DeadlineExceeded) {
			return nil, nil, cannot(ErrCodeBusy, l.path, fmt.Errorf("%w (%w)", waiting, err))
		}
		if !transient(err) {
			return nil, nil, err
		}
		waiting = err
		if !time.Now().Before(l.giveUp) {
			return nil, nil, cannot(ErrCodeBusy, l.path, err)
		}
		pause(ctx)
	}
}

// transient reports whether waiting may help.
func transient(err error) bool {
	const protocol = 15 // SQLITE_PROTOCOL: lost too many races for the log's locks
	var e *sqlite.Error
	return errors.Is(err, errMoving) || errors.Is(err, errShrunk) || sqlite.Classify(err) == sqlite.ClassBusy ||
		errors.As(err, &e) && e.Primary() == protocol
}

// pause waits one poll, or until ctx ends.
func pause(ctx context.Context) {
	t := time.NewTimer(poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// attempt checks once. errMoving or a busy error when somebody interfered.
func (l *liveCheck) attempt(ctx context.Context) (*results, *Level, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := livedb.CheckSidecars(l.path); errors.Is(err, livedb.ErrNotRegular) {
		return nil, nil, &CheckError{Code: ErrCodeNotAFile, Path: l.path, Err: err,
			Hint: "move it away; SQLite does not open a database beside which such a thing lies"}
	} else if err != nil {
		return nil, nil, err
	}
	if err := l.readIndex(); err != nil {
		return nil, nil, err
	}
	before, err := l.look()
	if err != nil {
		return nil, nil, err
	}
	if before.journal {
		return l.withJournal(ctx, before)
	}
	t, err := l.raw(ctx, before)
	if err != nil {
		return nil, nil, err
	}
	if t.damaged() {
		if err := l.confirm(ctx, before); err != nil {
			return nil, nil, err
		}
		return t, failedHeader(t), nil
	}
	if l.o.Level == LevelHeader {
		return t, nil, nil
	}
	failed, err := l.viaSQLite(ctx, before, t)
	return t, failed, err
}

// readIndex reads the index of a log that holds something.
func (l *liveCheck) readIndex() error {
	l.index = nil
	wal, err := stampOf(l.path + "-wal")
	if err == nil && wal.size > 0 {
		l.index, err = readWALIndex(l.path)
	}
	return err
}

// failedHeader is the header level for damage; empty and missing files have not failed.
func failedHeader(t *results) *Level {
	if t.worst >= damage {
		return at(LevelHeader)
	}
	return nil
}

// view is what can be seen of a database's files without reading them whole. Two
// equal views with settled stamps mean that nothing was written in between.
type view struct {
	main, wal, journalFile stamp

	head      [headerSize]byte
	walHeader [walHeaderSize]byte
	journal   bool // it may belong to a transaction
	shm       bool
	takenAt   time.Time
}

type stamp struct {
	present bool
	size    int64
	mtime   int64 // Unix nanoseconds
	ino     livedb.ID
}

func (l *liveCheck) look() (v view, err error) {
	v.takenAt = time.Now()
	main, err := l.openMain()
	if err != nil {
		return v, err
	}
	defer main.Close()
	if _, err := main.ReadAt(v.head[:], 0); err != nil && err != io.EOF {
		return v, fmt.Errorf("read header: %w", err)
	}
	if v.main, err = stampOf(l.path); err != nil {
		return v, err
	}
	v.main.ino = main.ID()
	if v.wal, err = stampOf(l.path + "-wal"); err != nil {
		return v, err
	}
	if v.wal.size > 0 {
		if err := readStart(l.path+"-wal", v.walHeader[:]); err != nil {
			return v, err
		}
	}
	if v.journalFile, err = stampOf(l.path + "-journal"); err != nil {
		return v, err
	}
	shm, err := stampOf(l.path + "-shm")
	if err != nil {
		return v, err
	}
	v.shm = shm.present
	v.journal, err = journalPending(l.path)
	return v, err
}

func (l *liveCheck) openMain() (*livedb.File, error) {
	f, err := livedb.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	return f, err
}

func stampOf(path string) (stamp, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, err
	}
	return stamp{present: true, size: fi.Size(), mtime: fi.ModTime().UnixNano()}, nil
}

// readStart fills b with the start of a file; what the file lacks stays zero.
func readStart(path string, b []byte) error {
	f, err := livedb.OpenSidecar(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.ReadFull(f, b); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fmt.Errorf("read start of %s: %w", path, err)
	}
	return nil
}

// unchanged returns errMoving unless nothing was written since v was taken.
func (l *liveCheck) unchanged(v view) error {
	now, err := l.look()
	if err != nil {
		return err
	}
	now.takenAt = v.takenAt
	if now != v || !v.settled() {
		return errMoving
	}
	return nil
}

// settled reports whether a write after v was taken would show in the stamps.
func (v *view) settled() bool {
	limit := v.takenAt.Add(-clockTick).UnixNano()
	return v.main.mtime < limit && v.wal.mtime < limit && v.journalFile.mtime < limit
}

// raw is the header level on the files as they lie there.
func (l *liveCheck) raw(ctx context.Context, v view) (*results, error) {
	main, err := l.openMain()
	if err != nil {
		return nil, err
	}
	defer main.Close()
	size, err := main.Size()
	if err != nil {
		return nil, err
	}
	f := &files{main: main, size: size, index: l.index}
	if v.wal.size > 0 {
		wal, err := livedb.OpenSidecar(l.path + "-wal")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errMoving
		}
		if err != nil {
			return nil, err
		}
		defer wal.Close()
		f.wal, f.walSize = wal, v.wal.size
	}
	t := &results{}
	if err := f.judge(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// confirm makes sure that damage seen in the files was not a commit or a
// checkpoint under way: nothing may have changed since before, and no writer may
// hold the file. Where there is no log index, or nobody uses it, nobody who uses a
// log is there; SQLite would then make the index anew, up to the damage, and with it
// the proof would be gone that there was more.
func (l *liveCheck) confirm(ctx context.Context, before view) error {
	if before.main.size > 0 && (!before.usesWAL() || before.shm && !indexIdle(l.path)) {
		conn, err := sqlite.Open(l.path, sqlite.Options{ReadOnly: true, Untrusted: true, BusyTimeout: poll})
		if err != nil {
			return err
		}
		defer conn.Close()
		// Damage is what is expected here; only a lock makes a difference.
		err = conn.Exec(ctx, "BEGIN; SELECT rootpage FROM sqlite_schema LIMIT 1")
		if c := sqlite.Classify(err); c == sqlite.ClassBusy || c == sqlite.ClassInterrupted || c == sqlite.ClassHotJournal {
			if c == sqlite.ClassHotJournal {
				return errMoving
			}
			return err
		}
	}
	return l.unchanged(before)
}

// usesWAL reports whether SQLite would open a log for the database.
func (v *view) usesWAL() bool {
	h := header{raw: v.head}
	return h.wal() || v.wal.present
}
