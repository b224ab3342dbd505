package livedb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// What callers branch on. Those that come from SQLite also wrap its *sqlite.Error.
var (
	// ErrBusy: another process held a lock until the context's deadline.
	ErrBusy = errors.New("the database is locked")
	// ErrMoving: the files changed while they were read. Waiting may help.
	ErrMoving = errors.New("the database changes faster than it can be read")
	// ErrNotDatabase: the file is not SQLite's, or encrypted.
	ErrNotDatabase = errors.New("not a SQLite database")
	// ErrCorrupt: SQLite found the file damaged.
	ErrCorrupt = errors.New("the database is damaged")
	// ErrMissing: there is no such file; wraps fs.ErrNotExist.
	ErrMissing = errors.New("the database file does not exist")
	// ErrNotRegular: the path, or the one of a -wal, -shm or -journal, names a directory, a
	// device, a pipe or the like.
	ErrNotRegular = errors.New("not a regular file")
	// ErrPermission: the operating system does not let us read or write it.
	ErrPermission = errors.New("no permission")
)

// Explain wraps an error of the operation op on the database at path with the sentinel
// that it stands for and what to do.
func Explain(op, path string, err error) error {
	switch sqlite.Classify(err) {
	case sqlite.ClassBusy:
		return fmt.Errorf("%s %s: %w%s: %w", op, path, ErrBusy, Holders(path), err)
	case sqlite.ClassCorrupt:
		return fmt.Errorf("%s %s: %w; check it, and restore a backup: %w", op, path, ErrCorrupt, err)
	case sqlite.ClassNotADB:
		return fmt.Errorf("%s %s: %w (or encrypted); is this the right file?: %w", op, path, ErrNotDatabase, err)
	case sqlite.ClassPermission:
		return fmt.Errorf("%s %s: %w; see the rights of the file and its directory: %w", op, path, ErrPermission, err)
	case sqlite.ClassFull:
		return fmt.Errorf("%s %s: %w on the disk of the database or of its temporary files: %w", op, path, durable.ErrNoSpace, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s %s: %w; see the rights of the file and its directory: %w", op, path, ErrPermission, err)
	}
	return fmt.Errorf("%s %s: %w", op, path, err)
}

// Holders names the processes that have the database open, for a busy message, which it
// goes on with.
func Holders(path string) string {
	usage, _ := UsageOf(path) // a hint only: nothing to say without it
	var names []string
	for _, u := range usage.Users {
		if !u.Own {
			names = append(names, fmt.Sprintf("%s (process %d)", u.Command, u.PID))
		}
	}
	switch {
	case len(names) > 0:
		return "; open in " + strings.Join(names, ", ") + ": wait, or end its transaction"
	case len(usage.Users) > 0:
		return " by this very process: end its transaction"
	}
	return "; wait for its other users, or end their transaction"
}

// Locate resolves path, and rejects what cannot be a database that SQLite opens:
// ErrMissing, ErrNotRegular, and ErrCorrupt for an empty file next to a -wal.
func Locate(path string) (real string, err error) {
	if real, err = Resolve(path); err != nil {
		return "", missing(err)
	}
	fi, err := os.Stat(real)
	if err != nil {
		return "", missing(err)
	}
	if !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%w; give the path of the database file itself", notRegular(real))
	}
	if err := CheckSidecars(real); err != nil {
		return "", err
	}
	wal, err := size(sqlitefile.WAL(real))
	if err != nil {
		return "", err
	}
	if fi.Size() == 0 && wal > 0 {
		// SQLite deletes such a WAL when it opens the database.
		return "", fmt.Errorf("%w: the file is empty, but its -wal holds %d bytes; set both apart and restore a backup", ErrCorrupt, wal)
	}
	return real, nil
}
