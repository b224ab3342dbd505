package snapshot

import (
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/remote"
)

// Sentinels for what callers branch on; use errors.Is.
var (
	// ErrBusy: a lock was not released in time, or another
	// operation runs on the backup directory. Nothing was changed; try again.
	ErrBusy = failure.ErrBusy
	// ErrNotFound: no backup has that id, or there is none at all.
	ErrNotFound = failure.ErrNotFound
	// ErrCorrupt: the database or the backup is damaged; see [CorruptError].
	ErrCorrupt = failure.ErrCorrupt
	// ErrNoUsableBackup: the database is corrupt or missing, and no backup
	// passed its proof. The original was left as it was found.
	ErrNoUsableBackup = failure.ErrNoUsableBackup
	// ErrMissing: there is no database file at the configured path.
	ErrMissing = failure.ErrMissing
	// ErrDirectory: the backup directory went away while it was in use, or another one is in its place.
	ErrDirectory = failure.ErrDirectory
	// ErrRefused: refused for safety, e.g. deleting the last verified backup.
	ErrRefused = failure.ErrRefused
	// ErrStale: the state that a plan was made for has changed since; the operation changed nothing.
	ErrStale = failure.ErrStale
	// ErrInvalid: what was asked for makes no sense: options that exclude each other, an expression that is none.
	ErrInvalid = failure.ErrInvalid
	// ErrNoSpace: the disk is, or would become, full.
	ErrNoSpace = durable.ErrNoSpace
	// ErrVersion: an archive or catalog was written by a newer version.
	ErrVersion = archive.ErrVersion
	// ErrStatement: SQLite cannot run the statement of a query.
	ErrStatement = inspect.ErrStatement
	// ErrForeignSQLite: another SQLite library lives in this process.
	ErrForeignSQLite = livedb.ErrForeignSQLite
)

// CorruptError carries the report that proves damage. It matches [ErrCorrupt].
type CorruptError = failure.CorruptError

// hint attaches advice to err.
func hint(err error, advice string) error { return message.WithHint(err, advice) }

// Hint returns the advice that err carries, or "". An error of another package
// carries it in a method Hint() string.
func Hint(err error) string { return failure.Hint(err) }

// Code returns the stable word for err that logs, JSON and the API use.
func Code(err error) string { return failure.Code(err) }

// explain maps the errors of the packages below to the sentinels. Those of a remote that match none get their codes.
func explain(err error) error {
	err = failure.Explain(err)
	if code := failure.Code(err); err != nil && (code == "failed" || code == "permission") {
		if code = remote.Code(err); code != "" {
			err = failure.WithCode(err, code)
		}
	}
	return err
}
