package integrity

import (
	"errors"
	"fmt"
	"io/fs"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// Codes of a CheckError.
const (
	ErrCodeBusy        = "busy"          // locked, or changing faster than it can be read
	ErrCodePermission  = "permission"    // may not be read
	ErrCodeIO          = "io"            // the operating system failed to read
	ErrCodeCancelled   = "cancelled"     // the context ended
	ErrCodeNoMemory    = "no_memory"     // the engine ran out of memory
	ErrCodeNoSpace     = "no_space"      // no room for a private copy
	ErrCodeLimit       = "limit"         // a value passed the size limit for untrusted files
	ErrCodeUnsupported = "unsupported"   // needs something that this build does not have
	ErrCodeNewer       = "newer_version" // an archive of a later version of this program
	ErrCodeNotAFile    = "not_a_file"    // a directory, device, socket or pipe
)

// CheckError says that a check could not be made. It is no statement about the
// database: nothing may be restored or replaced because of it.
type CheckError struct {
	Code string // one of the ErrCode constants; stable
	Path string
	Hint string // what to do, for a person
	Err  error
}

func (e *CheckError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("check: %v", e.Err)
	}
	return fmt.Sprintf("check %s: %v", e.Path, e.Err)
}

func (e *CheckError) Unwrap() error { return e.Err }

var hints = map[string]string{
	ErrCodeBusy:        "another program holds the database locked; try again, or allow a longer wait",
	ErrCodePermission:  "run as a user who may read the database and its directory",
	ErrCodeIO:          "the disk or file system reported an error; look at the system's log",
	ErrCodeCancelled:   "the check was stopped or ran out of time; allow it more time",
	ErrCodeNoMemory:    "free some memory and try again",
	ErrCodeNoSpace:     "make room in the directory for temporary files, or name another one",
	ErrCodeLimit:       "the schema computes values too large to be checked safely",
	ErrCodeUnsupported: "use a newer version of this program",
	ErrCodeNewer:       "use a newer version of this program",
	ErrCodeNotAFile:    "name the database file itself",
}

// cannot wraps err as a CheckError of the given code; a CheckError passes unchanged.
func cannot(code, path string, err error) *CheckError {
	var have *CheckError
	if errors.As(err, &have) {
		return have
	}
	return &CheckError{Code: code, Path: path, Hint: hints[code], Err: err}
}

// cannotRead is cannot with the code found from err: an operating system's or SQLite's.
func cannotRead(path string, err error) *CheckError {
	return cannot(errorCode(err), path, err)
}

func errorCode(err error) string {
	switch sqlite.Classify(err) {
	case sqlite.ClassBusy:
		return ErrCodeBusy
	case sqlite.ClassInterrupted:
		return ErrCodeCancelled
	case sqlite.ClassIO:
		return ErrCodeIO
	case sqlite.ClassNoMemory:
		return ErrCodeNoMemory
	case sqlite.ClassTooBig, sqlite.ClassBudget:
		return ErrCodeLimit
	case sqlite.ClassPermission:
		return ErrCodePermission
	case sqlite.ClassFull:
		return ErrCodeNoSpace
	}
	var e *sqlite.Error
	switch {
	case errors.Is(err, archive.ErrVersion):
		return ErrCodeNewer
	case errors.Is(err, archive.ErrLimit):
		return ErrCodeLimit
	case errors.Is(err, fs.ErrPermission):
		return ErrCodePermission
	case errors.Is(err, livedb.ErrNotRegular):
		return ErrCodeNotAFile
	case durable.IsNoSpace(err):
		return ErrCodeNoSpace
	case errors.As(err, &e):
		return ErrCodeUnsupported
	}
	return ErrCodeIO
}

// AsCheckError returns err as a *CheckError about path, with the code found from err: an
// operating system's or SQLite's. A CheckError passes unchanged.
func AsCheckError(path string, err error) *CheckError { return cannotRead(path, err) }
