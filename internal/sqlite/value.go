package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
	"example.com/snapd/internal/sqlitefile"
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

// Value returns column i as it is stored, for a database whose text encoding is e. Its bytes are borrowed: valid
// until the next Step, Reset or Close.
func (s *Stmt) Value(i int, e sqlitefile.Encoding) sqlitefile.Value {
	switch s.Type(i) {
	case Integer:
		return sqlitefile.Value{Kind: sqlitefile.Integer, Int: s.Int(i)}
	case Real:
		return sqlitefile.Value{Kind: sqlitefile.Real, Float: s.Float(i)}
	case Text:
		return sqlitefile.Value{Kind: sqlitefile.Text, Bytes: s.rawText(i, e)}
	case Blob:
		return sqlitefile.Value{Kind: sqlitefile.Blob, Bytes: s.Blob(i)}
	}
	return sqlitefile.Value{}
}

// rawText returns the bytes of a text in the database's own encoding: SQLite converts to UTF-8 only when it is asked
// for the length of that.
func (s *Stmt) rawText(i int, e sqlitefile.Encoding) []byte {
	if e == sqlitefile.UTF8 {
		return s.Blob(i)
	}
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i))
	n := sqlite3.Xsqlite3_column_bytes16(s.c.tls, s.p, int32(i))
	return engine.Bytes(p, int(n))
}
