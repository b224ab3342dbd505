package sqlite

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
)

// Moved reports whether the path of the main database no longer names the file that
// the connection has open. An error means that the system does not report it.
func (c *Conn) Moved() (bool, error) {
	const op = "has the database moved"
	name, err := libc.CString("main")
	if err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	defer libc.Xfree(c.tls, name)
	answer := libc.Xcalloc(c.tls, 1, 4) // a C int
	if answer == 0 {
		return false, &Error{Op: op, Code: sqlite3.SQLITE_NOMEM, Msg: "out of memory"}
	}
	defer libc.Xfree(c.tls, answer)
	if rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, name, sqlite3.SQLITE_FCNTL_HAS_MOVED, answer); rc != sqlite3.SQLITE_OK {
		return false, &Error{Op: op, Code: int(rc), Msg: "this system does not report it"}
	}
	return engine.Int(answer) != 0, nil
}
