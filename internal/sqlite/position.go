package sqlite

import (
	"encoding/binary"
	"encoding/hex"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// LogPosition is how far into a write-ahead log a read transaction sees.
type LogPosition struct {
	Salts string `json:"salts"` // of the log's generation: bytes 16 to 23 of its header, in hex
	Frame int64  `json:"frame"` // the last one seen, from 1
}

// snapshotBytes is the size of sqlite3_snapshot, which holds the index header that
// the transaction goes by (SQLite, wal.c: struct WalIndexHdr).
const snapshotBytes = 48

// LogPosition returns the position of the open read transaction; ok is false where
// the database has no log, or nothing in it.
func (c *Conn) LogPosition() (p LogPosition, ok bool) {
	name, err := libc.CString("main")
	if err != nil {
		return p, false
	}
	defer libc.Xfree(c.tls, name)
	out := libc.Xcalloc(c.tls, 1, libc.Tsize_t(unsafe.Sizeof(uintptr(0))))
	if out == 0 {
		return p, false
	}
	defer libc.Xfree(c.tls, out)
	if rc := sqlite3.Xsqlite3_snapshot_get(c.tls, c.db, name, out); rc != sqlite3.SQLITE_OK {
		return p, false
	}
	snap := *(*uintptr)(pointer(out))
	defer sqlite3.Xsqlite3_snapshot_free(c.tls, snap)
	header := unsafe.Slice((*byte)(pointer(snap)), snapshotBytes)
	p.Frame = int64(binary.NativeEndian.Uint32(header[16:]))
	p.Salts = hex.EncodeToString(header[32:40])
	return p, p.Frame > 0
}
