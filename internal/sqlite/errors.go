package sqlite

import (
	"context"
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"
)

// Error is a failed SQLite call. Code is the extended result code
// (https://www.sqlite.org/rescode.html).
type Error struct {
	Op   string // what was attempted, e.g. the SQL text
	Code int
	Msg  string
	Err  error // the operating system's, where it is known
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (sqlite code %d)", e.Op, e.Msg, e.Code)
}

// asError returns the *Error in err's chain, nil for none.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Primary returns the low byte of the result code: the code without its extension.
func (e *Error) Primary() int { return e.Code & 0xff }

// Class says what a failure proves about the database.
type Class int

const (
	ClassOther       Class = iota // no statement about the database
	ClassCorrupt                  // 11, 267, 523, 779: proof of damage
	ClassNotADB                   // 26: the header is not SQLite's
	ClassBusy                     // 5, 6 and extensions: another connection holds a lock
	ClassHotJournal               // 776: a rollback is pending and this connection may not do it
	ClassInterrupted              // 9: cancelled by us
	ClassIO                       // 10 and extensions
	ClassNoMemory                 // 7
	ClassTooBig                   // 18: a value passed the size limit
	ClassPermission               // 3, 8, 14, 23: cannot open or may not
	ClassFull                     // 13, 4874: no space
	ClassBudget                   // a statement passed the budget of Limit
	ClassCrashed                  // 2: SQLite itself failed; the connection is lost
)

// IsDamage reports whether err proves that the database is damaged.
func IsDamage(err error) bool {
	c := Classify(err)
	return c == ClassCorrupt || c == ClassNotADB
}

// IsInexpressible reports whether err is about an expression in the schema (a function or collation of the
// application's, a value past the limit, a function that fails on the data), not about the database.
func IsInexpressible(err error) bool {
	var e *Error
	c := Classify(err)
	return (c == ClassOther || c == ClassTooBig) && errors.As(err, &e)
}

// Classify maps err, wherever a *Error is in its chain, to what it proves.
// A context that ended counts as interrupted.
func Classify(err error) Class {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return ClassInterrupted
	}
	var over *BudgetError
	if errors.As(err, &over) {
		return ClassBudget
	}
	var e *Error
	if !errors.As(err, &e) {
		return ClassOther
	}
	switch e.Code {
	case sqlite3.SQLITE_READONLY_ROLLBACK:
		return ClassHotJournal
	case sqlite3.SQLITE_IOERR_SHMSIZE: // the -shm could not grow
		return ClassFull
	}
	switch e.Primary() {
	case sqlite3.SQLITE_CORRUPT:
		return ClassCorrupt
	case sqlite3.SQLITE_NOTADB:
		return ClassNotADB
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return ClassBusy
	case sqlite3.SQLITE_INTERRUPT:
		return ClassInterrupted
	case sqlite3.SQLITE_IOERR:
		return ClassIO
	case sqlite3.SQLITE_NOMEM:
		return ClassNoMemory
	case sqlite3.SQLITE_TOOBIG:
		return ClassTooBig
	case sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH:
		return ClassPermission
	case sqlite3.SQLITE_FULL:
		return ClassFull
	case sqlite3.SQLITE_INTERNAL:
		return ClassCrashed
	}
	return ClassOther
}
