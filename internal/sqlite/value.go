package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"
)

// Type is the storage class of a value (https://www.sqlite.org/datatype3.html §2).
type Type int

// The storage classes.
const (
	Integer Type = sqlite3.SQLITE_INTEGER
	Real    Type = sqlite3.SQLITE_FLOAT
	Text    Type = sqlite3.SQLITE_TEXT
	Blob    Type = sqlite3.SQLITE_BLOB
	Null    Type = sqlite3.SQLITE_NULL
)

// Type returns the storage class of column i.
func (s *Stmt) Type(i int) Type { return Type(sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(i))) }

// Float returns column i as a floating-point number.
func (s *Stmt) Float(i int) float64 {
	return float64(sqlite3.Xsqlite3_column_double(s.c.tls, s.p, int32(i)))
}
