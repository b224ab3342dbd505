package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
)

// MostValue is SQLite's own limit of a value, in bytes.
const MostValue = 1_000_000_000

// LimitValues bounds the strings and blobs that the connection builds or reads, in
// bytes; a larger one is ClassTooBig.
func (c *Conn) LimitValues(bytes int64) {
	c.maxValue = int32(min(bytes, MostValue))
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, c.maxValue)
}

// AllowVacuum lets an Untrusted connection run VACUUM, which attaches a database of its own.
func (c *Conn) AllowVacuum() {
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_ATTACHED, 1)
}

// LimitDriver is LimitValues for a connection of database/sql's driver, to which nothing can
// be attached then.
func LimitDriver(conn any, bytes int64) error {
	return engine.LimitDriver(conn, int32(min(bytes, MostValue)))
}
