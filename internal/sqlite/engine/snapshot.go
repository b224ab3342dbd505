package engine

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlitefile"
)

// IndexHeader returns the header of the log's index with which the open read transaction
// of db goes: sqlite3_snapshot holds it. ok is false where the database has no log, or
// one that was never used.
func IndexHeader(tls *libc.TLS, db uintptr) (h sqlitefile.WALIndex, ok bool) {
	name, err := libc.CString("main")
	if err != nil {
		return h, false
	}
	defer libc.Xfree(tls, name)
	out := libc.Xcalloc(tls, 1, libc.Tsize_t(PointerSize))
	if out == 0 {
		return h, false
	}
	defer libc.Xfree(tls, out)
	if rc := sqlite3.Xsqlite3_snapshot_get(tls, db, name, out); rc != sqlite3.SQLITE_OK {
		return h, false
	}
	snapshot := Pointer(out)
	defer sqlite3.Xsqlite3_snapshot_free(tls, snapshot)
	return sqlitefile.ParseWALIndexHeader(Bytes(snapshot, sqlitefile.SHMHeaderSize))
}
