package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
)

// Sentinels for what callers branch on; use errors.Is.
var (
	// ErrBusy: a lock was not released in time, or another
	// operation runs on the backup directory. Nothing was changed; try again.
	ErrBusy = errors.New("busy")
	// ErrNotFound: no backup has that id, or there is none at all.
	ErrNotFound = catalogfile.ErrNotFound
	// ErrCorrupt: the database or the backup is damaged; see [CorruptError].
	ErrCorrupt = errors.New("corrupt")
	// ErrNoUsableBackup: the database is corrupt or missing, and no backup
	// passed its proof. The original was left as it was found.
	ErrNoUsableBackup = errors.New("no usable backup")
	// ErrMissing: there is no database file at the configured path.
	ErrMissing = errors.New("database file is missing")
	// ErrDirectory: the backup directory went away while it was in use, or another one is in its place.
	ErrDirectory = errors.New("the backup directory is gone")
	// ErrRefused: refused for safety, e.g. deleting the last verified backup.
	ErrRefused = errors.New("refused for safety")
	// ErrStale: the state that a plan was made for has changed since; the operation changed nothing.
	ErrStale = errors.New("the plan is out of date")
	// ErrNoSpace: the disk is, or would become, full.
	ErrNoSpace = durable.ErrNoSpace
	// ErrVersion: an archive or catalog was written by a newer version.
	ErrVersion = archive.ErrVersion
	// ErrForeignSQLite: another SQLite library lives in this process.
	ErrForeignSQLite = livedb.ErrForeignSQLite
)

// CorruptError carries the report that proves damage. It matches [ErrCorrupt].
type CorruptError struct {
	What   string // "database" or "backup ID"
	Report Report
}

func (e *CorruptError) Error() string {
	msg := string(e.Report.Verdict)
	if len(e.Report.Findings) > 0 {
		f := e.Report.Findings[0]
		msg = fmt.Sprintf("%s: %s (%s)", msg, f.Message, f.Code)
	}
	return e.What + " is damaged: " + msg
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// hint attaches advice to err.
func hint(err error, advice string) error { return message.WithHint(err, advice) }

// Hint returns the advice that err carries, or "". An error of another package
// carries it in a method Hint() string.
func Hint(err error) string {
	var advised interface {
		error
		Hint() string
	}
	if errors.As(err, &advised) {
		return advised.Hint()
	}
	var c *integrity.CheckError
	if errors.As(err, &c) {
		return c.Hint
	}
	return ""
}

// Code returns the stable word for err that logs, JSON and the API use.
func Code(err error) string {
	var check *integrity.CheckError
	for _, c := range []struct {
		is   error
		code string
	}{
		{ErrStale, "stale"}, {ErrBusy, "busy"}, {ErrNotFound, "not_found"}, {ErrNoUsableBackup, "no_usable_backup"}, {ErrRefused, "refused"},
		{ErrMissing, "missing"}, {ErrNoSpace, "no_space"}, {ErrCorrupt, "corrupt"}, {ErrVersion, "newer_version"},
		{ErrDirectory, "directory"}, {catalogfile.ErrVersion, "newer_version"}, {catalogfile.ErrReadOnly, "read_only"}, {ErrForeignSQLite, "foreign_sqlite"},
		{fs.ErrPermission, "permission"}, {errInterrupted, "interrupted"}, {context.Canceled, "cancelled"}, {context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	if errors.As(err, &check) {
		return check.Code
	}
	return "failed"
}
