// Package failure names what can go wrong, for callers that branch on it: sentinels, the code and the
// advice of an error, and which sentinel an error of the packages below matches.
package failure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/rowsback"
	"example.com/snapd/internal/swap"
)

// The sentinels that package snapshot describes.
var (
	ErrBusy           = errors.New("busy")
	ErrNotFound       = catalogfile.ErrNotFound
	ErrCorrupt        = errors.New("corrupt")
	ErrNoUsableBackup = errors.New("no usable backup")
	ErrMissing        = errors.New("database file is missing")
	ErrDirectory      = errors.New("the backup directory is gone")
	ErrRefused        = errors.New("refused for safety")
	ErrStale          = errors.New("the plan is out of date")
	ErrInvalid        = errors.New("invalid")     // what was asked for makes no sense
	ErrInterrupted    = errors.New("interrupted") // the process of an operation ended before it
)

// CorruptError carries the report that proves damage. It matches [ErrCorrupt].
type CorruptError struct {
	What   string // "database" or "backup ID"
	Report integrity.Report
}

func (e *CorruptError) Error() string {
	msg := string(e.Report.Verdict)
	if len(e.Report.Findings) > 0 {
		f := e.Report.Findings[0]
		msg = fmt.Sprintf("%s: %s (%s)", msg, f.Message, f.Code)
	}
	for _, f := range e.Report.Findings {
		if f.Rows != nil {
			return fmt.Sprintf("%s is damaged: %s; %s", e.What, msg, f.Message)
		}
	}
	return e.What + " is damaged: " + msg
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// As is err, which matches sentinel too, with err's own words.
func As(sentinel, err error) error { return &sentinelError{sentinel, err} }

type sentinelError struct{ sentinel, err error }

func (e *sentinelError) Error() string   { return e.err.Error() }
func (e *sentinelError) Unwrap() []error { return []error{e.sentinel, e.err} }

// Hint returns the advice that err carries, or "". An error of another package
// carries it in a method Hint() string.
func Hint(err error) string {
	if advice := message.HintOf(err); advice != "" {
		return advice
	}
	var c *integrity.CheckError
	if errors.As(err, &c) {
		return c.Hint
	}
	return ""
}

// WithCode is err, whose code is that word: of an error that packages above know.
func WithCode(err error, code string) error { return &codedError{err, code} }

type codedError struct {
	error
	code string
}

func (e *codedError) Unwrap() error { return e.error }

// Code returns the stable word for err that logs, JSON and the API use.
func Code(err error) string {
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	var check *integrity.CheckError
	for _, c := range []struct {
		is   error
		code string
	}{
		{ErrInvalid, "invalid"}, {ErrStale, "stale"}, {ErrBusy, "busy"}, {ErrNotFound, "not_found"}, {ErrNoUsableBackup, "no_usable_backup"}, {ErrRefused, "refused"},
		{ErrMissing, "missing"}, {durable.ErrNoSpace, "no_space"}, {ErrCorrupt, "corrupt"}, {archive.ErrVersion, "newer_version"},
		{ErrDirectory, "directory"}, {catalogfile.ErrVersion, "newer_version"}, {catalogfile.ErrReadOnly, "read_only"}, {livedb.ErrForeignSQLite, "foreign_sqlite"},
		{inspect.ErrStatement, "sql"},
		{fs.ErrPermission, "permission"}, {ErrInterrupted, "interrupted"}, {context.Canceled, "cancelled"}, {context.DeadlineExceeded, "timeout"},
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

// Explain maps the errors of the packages below to the sentinels.
func Explain(err error) error {
	if err == nil || errors.Is(err, ErrBusy) {
		return err
	}
	var check *integrity.CheckError
	busy := errors.Is(err, catalogfile.ErrBusy) || errors.Is(err, livedb.ErrBusy) ||
		errors.As(err, &check) && check.Code == integrity.ErrCodeBusy
	switch {
	case busy:
		return As(ErrBusy, err)
	case errors.Is(err, livedb.ErrNotRegular), errors.Is(err, catalogfile.ErrUnsafe), errors.Is(err, catalogfile.ErrOtherDatabase), errors.Is(err, durable.ErrNotRegular),
		errors.Is(err, swap.ErrUnsafe):
		err = As(ErrRefused, err)
		if Hint(err) == "" {
			err = message.WithHint(err, "move away what the message names: only regular files of the database and of this program belong there")
		}
		return err
	case errors.Is(err, inspect.ErrNoTable):
		return As(ErrNotFound, err)
	case errors.Is(err, inspect.ErrTooMuch), errors.Is(err, inspect.ErrNotReading), errors.Is(err, inspect.ErrNoScript), errors.Is(err, rowdiff.ErrTooMuch),
		errors.Is(err, rowsback.ErrRefused):
		return As(ErrRefused, err)
	case errors.Is(err, rowdiff.ErrNoPatch):
		return message.WithHint(As(ErrRefused, err), "other tables have their patch with --table; restore --to puts the whole state into a file")
	case errors.Is(err, rowsback.ErrOptions):
		return As(ErrInvalid, err)
	case errors.Is(err, rowsback.ErrStale):
		return message.WithHint(As(ErrStale, err), "look at what would be done now, and try again")
	case errors.Is(err, points.ErrNotFound) && !errors.Is(err, ErrNotFound):
		return message.WithHint(As(ErrNotFound, err), "points shows what can be restored")
	case errors.Is(err, rowdiff.ErrNoTable):
		return message.WithHint(As(ErrNotFound, err), "tables lists the tables that there are")
	case errors.Is(err, ErrNotFound) && Hint(err) == "":
		return message.WithHint(err, "list shows the backups that there are")
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrMissing):
		return err
	case errors.Is(err, livedb.ErrMissing):
		return As(ErrMissing, err)
	case errors.Is(err, archive.ErrDamaged), errors.Is(err, changes.ErrDamaged), errors.Is(err, archive.ErrTruncated), errors.Is(err, archive.ErrNotArchive),
		errors.Is(err, livedb.ErrCorrupt), errors.Is(err, livedb.ErrNotDatabase), errors.Is(err, inspect.ErrDamaged), errors.Is(err, rowdiff.ErrDamaged):
		return As(ErrCorrupt, err)
	case errors.Is(err, ErrDirectory):
		return err
	case errors.Is(err, catalogfile.ErrNoDirectory), errors.Is(err, catalogfile.ErrOtherDirectory):
		return As(ErrDirectory, err)
	case durable.IsNoSpace(err):
		advice := "free some space on that disk"
		if where := durable.WhereFull(err); where != "" {
			advice = "free some space on the disk of " + where
		}
		return message.WithHint(As(durable.ErrNoSpace, err), advice+"; if that is the backup directory's, --dir chooses another one")
	}
	return err
}
