package activity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"

	"example.com/snapd/internal/durable"
)

const (
	logName  = "activity.jsonl"
	oldName  = "activity.1.jsonl"
	lockName = ".snapd-activity.lock" // held while the log becomes the old one

	// maxFile is the size, in bytes, beyond which the log becomes the old one.
	maxFile = 4 << 20
)

// errFull: the log has grown to twice its limit, because it could not be renamed.
var errFull = errors.New("the activity log is full and cannot be renamed")

// Log is the activity log of a directory. Its methods are safe for concurrent use,
// by several Logs and several processes too.
type Log struct {
	dir string
	max int64
}

// New returns the log in dir. Nothing is opened or made.
func New(dir string) *Log { return &Log{dir: dir, max: maxFile} }

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// Append adds entries, the oldest first, in one durable write. Errors: those of Write.
func (l *Log) Append(entries ...Entry) error {
	all := make([]Record, len(entries))
	for i, e := range entries {
		all[i].Entry = e
	}
	return l.Write(all...)
}

// Write adds records, the oldest first, in one durable write; started lines alone are
// not synced, for they matter only where the process dies before its machine does. Errors: those of the
// system, fs.ErrNotExist for a missing directory; durable.ErrNotRegular.
func (l *Log) Write(records ...Record) error {
	var text []byte
	for _, e := range records {
		line, err := e.line()
		if err != nil {
			return fmt.Errorf("activity log: %w", err)
		}
		text = append(text, line...)
	}
	if err := l.makeRoom(int64(len(text))); err != nil {
		return fmt.Errorf("activity log: %w", err)
	}
	durably := slices.ContainsFunc(records, func(r Record) bool { return r.Line != Started })
	if err := l.append(text, durably); err != nil {
		return fmt.Errorf("activity log: %w", err)
	}
	return nil
}

// append adds text at once, on a line of its own: what a crash has torn stays one
// line of garbage.
func (l *Log) append(text []byte, durably bool) (err error) {
	f, fresh, err := l.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	torn, err := endsTorn(f)
	if err != nil {
		return err
	}
	if torn {
		text = append([]byte{'\n'}, text...)
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if durably {
		if err := durable.Sync(f); err != nil {
			return err
		}
	}
	if fresh {
		return durable.SyncDir(l.dir)
	}
	return nil
}

func (l *Log) open() (f *os.File, fresh bool, err error) {
	const flags = os.O_RDWR | os.O_APPEND
	f, err = durable.OpenRegular(l.path(logName), flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = durable.OpenRegular(l.path(logName), flags|os.O_CREATE, 0o600)
		return f, true, err
	}
	return f, false, err
}

// endsTorn reports whether the last line has no end.
func endsTorn(f *os.File) (bool, error) {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], st.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// makeRoom rotates the log where n bytes more would be beyond its limit. While
// another process does that, or where it cannot be done, the log grows on, up to
// twice the limit.
func (l *Log) makeRoom(n int64) error {
	size, err := l.size()
	if err != nil || size+n <= l.max {
		return err
	}
	err = l.rotate(n)
	if size+n > 2*l.max {
		if size, again := l.size(); again == nil && size+n > 2*l.max {
			return errors.Join(errFull, err)
		}
	}
	return nil
}

// rotate replaces the old log with the present one, unless another process is doing
// that just now, or has just done it.
func (l *Log) rotate(n int64) (err error) {
	if _, err := os.Lstat(l.path(lockName)); err == nil {
		f, err := durable.OpenRegular(l.path(lockName), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	lock := flock.New(l.path(lockName), flock.SetFlag(os.O_CREATE|os.O_RDWR|durable.OpenPlain), flock.SetPermissions(0o600))
	defer func() { err = errors.Join(err, lock.Close()) }()
	if locked, err := lock.TryLock(); err != nil || !locked {
		return err
	}
	if size, err := l.size(); err != nil || size+n <= l.max {
		return err
	}
	return durable.Rename(l.path(logName), l.path(oldName))
}

// size returns the size of the log; 0 where there is none.
func (l *Log) size() (int64, error) {
	st, err := os.Lstat(l.path(logName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: %w", l.path(logName), durable.ErrNotRegular)
	}
	return st.Size(), nil
}

// Revision returns a word that changes with every append of any process.
func (l *Log) Revision() (string, error) {
	st, err := os.Lstat(l.path(logName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("activity log: %w", err)
	}
	return fmt.Sprintf("%x-%x", st.Size(), st.ModTime().UnixNano()), nil
}
