package livedb

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	modernc "modernc.org/sqlite"
)

var (
	// ErrForeignSQLite says that a second SQLite library lives in this process:
	// each drops the other's locks whenever it closes a file.
	ErrForeignSQLite = errors.New("another SQLite library is loaded in this process")
	// ErrNoOFDLocks says that this system has no OFD locks; POSIX locks stay in
	// use and this package keeps its descriptors open.
	ErrNoOFDLocks = errors.New("this system has no open file description locks")
)

// UseOFDLocks switches SQLite in this process to OFD locks on database files, so
// that descriptors may be closed freely. It decides for the whole process: a
// program calls it before its first connection, a library never does.
//
// It returns ErrNoOFDLocks where the system has none (a program may go on), and
// another error when a lock was already taken in this process.
func UseOFDLocks() error {
	_, err := modernc.OFDLocking(true)
	if errors.Is(err, modernc.ErrOFDLockingUnavailable) {
		return fmt.Errorf("use OFD locks: %w", ErrNoOFDLocks)
	}
	if err != nil {
		return fmt.Errorf("use OFD locks: %w", err)
	}
	return nil
}

// ForeignSQLite returns ErrForeignSQLite when a database/sql driver of another
// SQLite library is registered in this process, nil otherwise. A library used
// without database/sql is not noticed.
func ForeignSQLite() error {
	// mattn/go-sqlite3 and ncruces/go-sqlite3 both register this name; the
	// engine used here registers "sqlite".
	if slices.Contains(sql.Drivers(), "sqlite3") {
		return fmt.Errorf("%w (driver \"sqlite3\"): the two drop each other's file locks; "+
			"open the database through the \"sqlite\" driver everywhere, or run the backup as a program of its own", ErrForeignSQLite)
	}
	return nil
}

// closeIsHarmless reports whether closing a descriptor leaves SQLite's locks alone.
func closeIsHarmless() bool { return locksPerHandle || modernc.OFDLockingEnabled() }
