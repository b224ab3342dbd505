package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"
)

// LimitValues bounds the strings and blobs that the connection builds or reads, in
// bytes; a larger one is ClassTooBig.
func (c *Conn) LimitValues(bytes int64) {
	const most = 1_000_000_000 // SQLite's own
	c.maxValue = int32(min(bytes, most))
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, c.maxValue)
}

// AllowVacuum lets an Untrusted connection run VACUUM, which attaches a database of its own.
func (c *Conn) AllowVacuum() {
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_ATTACHED, 1)
}
