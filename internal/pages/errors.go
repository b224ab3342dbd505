package pages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// What callers branch on. Those that come from SQLite also wrap its *sqlite.Error.
var (
	// ErrBusy: somebody held a lock until the context's deadline.
	ErrBusy = errors.New("the database is locked")
	// ErrNotDatabase: the file is not SQLite's, or encrypted.
	ErrNotDatabase = errors.New("not a SQLite database")
	// ErrCorrupt: SQLite found the file damaged.
	ErrCorrupt = errors.New("the database is damaged")
	// ErrMissing: there is no such file; wraps fs.ErrNotExist.
	ErrMissing = errors.New("the database file does not exist")
	// ErrNotFile: the path, or that of a -wal, -shm or -journal, names a directory, a
	// device, a pipe or the like.
	ErrNotFile = errors.New("not a regular file")
	// ErrPermission: the operating system does not let us read or write it.
	ErrPermission = errors.New("no permission")
	// ErrPageSize: live database and image differ in page size or in the bytes
	// reserved on each page, or the image has no page: such an image can only replace the file.
	ErrPageSize = errors.New("the page sizes differ")
)

// explain wraps an error with the sentinel that it stands for and what to do.
func explain(op, path string, err error) error {
	switch sqlite.Classify(err) {
	case sqlite.ClassBusy:
		return fmt.Errorf("%s %s: %w%s: %w", op, path, ErrBusy, whoHolds(path), err)
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
	if errors.Is(err, livedb.ErrNotRegular) {
		return fmt.Errorf("%s %s: %w: %w", op, path, ErrNotFile, err)
	}
	return fmt.Errorf("%s %s: %w", op, path, err)
}

// whoHolds names the processes that have the database open, for a busy message.
func whoHolds(path string) string {
	users, known, err := livedb.Users(path)
	if err != nil || !known { // a hint only: nothing to say without it
		return "; wait for its other users, or end their transaction"
	}
	var names []string
	for _, u := range users {
		if !u.Own {
			names = append(names, fmt.Sprintf("%s (process %d)", u.Command, u.PID))
		}
	}
	switch {
	case len(names) > 0:
		return "; open in " + strings.Join(names, ", ") + ": wait, or end its transaction"
	case len(users) > 0:
		return " by this very process: end its transaction"
	}
	return "; wait for its other users, or end their transaction"
}

// locate resolves path and rejects what cannot be a database.
func locate(op, path string) (string, error) {
	real, err := livedb.Resolve(path)
	if err == nil {
		err = regular(real)
	}
	switch {
	case err == nil:
		return real, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s %s: %w: %w", op, path, ErrMissing, err)
	case errors.Is(err, fs.ErrPermission):
		return "", explain(op, path, err)
	}
	return "", fmt.Errorf("%s: %w", op, err)
}

func regular(real string) error {
	fi, err := os.Stat(real)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s: %w; give the path of the database file itself", real, ErrNotFile)
	}
	if err := livedb.CheckSidecars(real); errors.Is(err, livedb.ErrNotRegular) {
		return fmt.Errorf("%w: %w", ErrNotFile, err)
	} else if err != nil {
		return err
	}
	wal, err := os.Stat(real + "-wal")
	if fi.Size() == 0 && err == nil && wal.Size() > 0 {
		// SQLite deletes such a WAL when it opens the database.
		return fmt.Errorf("%s: %w: the file is empty, but its -wal holds %d bytes; keep both aside and restore a backup", real, ErrCorrupt, wal.Size())
	}
	return nil
}

// cancelled is the error for a context that ended while a lock was waited for:
// what was waited for when its time was up, the context's own when it was cancelled.
func cancelled(ctx context.Context, op, path string, waitedFor error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && waitedFor != nil {
		return explain(op, path, waitedFor)
	}
	return fmt.Errorf("%s %s: %w", op, path, ctx.Err())
}
