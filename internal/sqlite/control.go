package sqlite

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// CacheFlush writes the dirty pages of an open write transaction out, so that
// the page cache stays small. In the rollback-journal modes it needs the
// EXCLUSIVE lock: ClassBusy while others read, with new readers held off from
// then on; the transaction goes on all the same.
func (c *Conn) CacheFlush() error {
	if rc := sqlite3.Xsqlite3_db_cacheflush(c.tls, c.db); rc != sqlite3.SQLITE_OK {
		return &Error{Op: "cache flush", Code: int(rc), Msg: "dirty pages could not be written"}
	}
	return nil
}

// ReadOnly reports whether the main database is open for reading only, be it that
// SQLite fell back to that because the file may not be written: BEGIN IMMEDIATE
// then quietly begins a read transaction.
func (c *Conn) ReadOnly() (bool, error) {
	name, err := libc.CString("main")
	if err != nil {
		return false, fmt.Errorf("read-only: %w", err)
	}
	defer libc.Xfree(c.tls, name)
	return sqlite3.Xsqlite3_db_readonly(c.tls, c.db, name) != 0, nil
}

// Version returns the engine's version, e.g. "3.54.1".
func Version() string { return sqlite3.SQLITE_VERSION }
