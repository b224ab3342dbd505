package swap

import (
	"context"
	"errors"
	"hash"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
)

// Target is a database file that may be replaced.
type Target struct {
	// Database is its absolute path, free of symbolic links.
	Database string
	// Dir is the absolute path of the directory that quarantines go to.
	Dir string
	// LockWait bounds the wait for locks and for those who have the file open.
	LockWait time.Duration
	// AssumeUnused: a person has made sure that no process has the file open, which
	// counts where the system does not say.
	AssumeUnused bool
	// NewHash makes the hash that Swap.Sum is of.
	NewHash func() hash.Hash
	// Now is the clock of the quarantines' names.
	Now func() time.Time
	// Observer hears of the steps.
	Observer Observer
}

// Observer hears of the steps of a swap. Any of its functions may be nil.
type Observer struct {
	// Point is called between two steps that change something.
	Point func(name string)
	// Committed is called once the new database is in place, before the intent file
	// is removed; after a crash in between it is called again. kept is as in Result.
	Committed func(note Note, kept string)
	// Warn is called for what did not keep the swap from its end.
	Warn func(Warning)
}

// Note is what the caller remembers of a swap. The intent file keeps it, for the
// process that finishes the swap after a crash.
type Note struct {
	Backup    string `json:"backup"`              // id of the backup that is put in place, "" for none
	Base      string `json:"base,omitempty"`      // where Backup is a recovery point: id of the backup that it is read from
	Operation string `json:"operation,omitempty"` // what the swap is part of
	Safety    string `json:"safety,omitempty"`    // id of the backup of what is replaced, "" for none
}

// Warning is worth a look.
type Warning struct {
	Path    string
	Message string
	Err     error // nil where the message says it all
}

// ErrChanged says that the database is no longer what was judged or saved.
var ErrChanged = errors.New("the database changed meanwhile")

// sidecarSuffixes in the order in which a swap removes them: the -shm is only an
// index of the -wal and goes last.
var sidecarSuffixes = []string{"-journal", "-wal", "-shm"}

// fileSuffixes are those of all files of a database.
var fileSuffixes = append([]string{""}, sidecarSuffixes...)

func (t *Target) point(name string) {
	if t.Observer.Point != nil {
		t.Observer.Point(name)
	}
}

func (t *Target) warn(w Warning) {
	if t.Observer.Warn != nil {
		t.Observer.Warn(w)
	}
}

// isSidecar reports whether SQLite would take the file at path for a sidecar of the database.
func isSidecar(database, path string) bool {
	suffix, ok := strings.CutPrefix(path, database)
	return ok && slices.Contains(sidecarSuffixes, suffix)
}

// HasSidecars reports whether a -wal, -shm or -journal is next to the database.
func (t *Target) HasSidecars() (bool, error) {
	found, err := livedb.Sidecars(t.Database)
	return len(found) > 0, err
}

// lockOut keeps all other connections away from the database file until unlock: SQLite
// grants no lock, and no process has it open. A missing file needs neither.
func (t *Target) lockOut(ctx context.Context) (unlock func(), err error) {
	if missing, err := isMissing(t.Database); err != nil || missing {
		return func() {}, err
	}
	if err := t.WaitUnused(ctx); err != nil { // the kernel can be asked only without the lock
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, t.LockWait)
	defer cancel()
	release, err := livedb.LockExclusive(wait, t.Database)
	if err != nil {
		return nil, message.WithHint(err, "stop the programs that use the database, then try again")
	}
	unlock = func() {
		if err := release(); err != nil {
			t.warn(Warning{Path: t.Database, Err: err, Message: "the database's exclusive lock could not be released"})
		}
	}
	if err := t.WaitUnused(ctx); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// isMissing reports whether nothing has the name path.
func isMissing(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}
