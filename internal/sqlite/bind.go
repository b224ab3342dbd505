package sqlite

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
	"example.com/snapd/internal/sqlitefile"
)

// BindValue binds parameter i, counted from 1, to a copy of a stored value. e is the encoding of
// its text; text of the database's own encoding is stored byte for byte.
func (s *Stmt) BindValue(i int, v sqlitefile.Value, e sqlitefile.Encoding) error {
	switch v.Kind {
	case sqlitefile.Integer:
		return s.BindInt(i, v.Int)
	case sqlitefile.Real:
		return s.bound(sqlite3.Xsqlite3_bind_double(s.c.tls, s.p, int32(i), v.Float))
	case sqlitefile.Blob:
		return s.BindBlob(i, v.Bytes)
	case sqlitefile.Text:
		return s.bindText(i, v.Bytes, e)
	}
	return s.BindNull(i)
}

// BindText binds parameter i, counted from 1, to a copy of text.
func (s *Stmt) BindText(i int, text string) error {
	return s.bindText(i, []byte(text), sqlitefile.UTF8)
}

func (s *Stmt) bindText(i int, b []byte, e sqlitefile.Encoding) error {
	m := libc.Xmalloc(s.c.tls, libc.Tsize_t(max(len(b), 1)))
	if m == 0 {
		return &Error{Op: "bind", Code: sqlite3.SQLITE_NOMEM, Msg: "out of memory"}
	}
	defer libc.Xfree(s.c.tls, m)
	copy(engine.Bytes(m, len(b)), b)
	const transient = ^uintptr(0) // SQLITE_TRANSIENT: SQLite copies
	return s.bound(sqlite3.Xsqlite3_bind_text64(s.c.tls, s.p, int32(i), m, sqlite3.Tsqlite3_uint64(len(b)), transient, uint8(e)))
}

// Changed reports whether the last statement changed a row.
func (c *Conn) Changed() bool { return sqlite3.Xsqlite3_changes(c.tls, c.db) > 0 }

// LastInsertRowID is the rowid of the row that the last INSERT inserted.
func (c *Conn) LastInsertRowID() int64 { return int64(sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db)) }
