package sqlite

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
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

// InTransaction reports whether a transaction is open. A statement that fails may have ended it.
func (c *Conn) InTransaction() bool { return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// Version returns the engine's version, e.g. "3.54.1".
func Version() string { return sqlite3.SQLITE_VERSION }

// EnforceForeignKeys has this connection enforce foreign keys, also where a transaction has begun: those that are
// deferred by its COMMIT.
func (c *Conn) EnforceForeignKeys() error {
	return c.config(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY, true)
}

// ForeignKeysHold reports whether no deferred foreign key is violated by the open transaction.
func (c *Conn) ForeignKeysHold() (bool, error) {
	out := libc.Xcalloc(c.tls, 2, 4)
	if out == 0 {
		return false, &Error{Op: "foreign keys", Code: sqlite3.SQLITE_NOMEM, Msg: "out of memory"}
	}
	defer libc.Xfree(c.tls, out)
	if rc := sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_DEFERRED_FKS, out, out+4, 0); rc != sqlite3.SQLITE_OK {
		return false, c.fail("foreign keys", rc)
	}
	current := engine.Bytes(out, 4)
	return current[0]|current[1]|current[2]|current[3] == 0, nil
}
