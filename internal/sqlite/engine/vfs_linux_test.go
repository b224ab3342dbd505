package engine

import (
	"errors"
	"syscall"
	"testing"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// failReads has the n-th read of the engine from now on, and all later ones, end with
// EIO; 0 lets all succeed again.
func failReads(t *testing.T, tls *libc.TLS) (from func(n int)) {
	t.Helper()
	type (
		setCall func(tls *libc.TLS, vfs, name, call uintptr) int32
		getCall func(tls *libc.TLS, vfs, name uintptr) uintptr
		pread   func(tls *libc.TLS, fd int32, buf uintptr, n libc.Tsize_t, at int64) libc.Tssize_t
	)
	vfs := sqlite3.Xsqlite3_vfs_find(tls, 0)
	v := (*sqlite3.Tsqlite3_vfs)(pointer(vfs))
	name, err := libc.CString("pread")
	if err != nil {
		t.Fatal(err)
	}
	its := function[pread](function[getCall](v.FxGetSystemCall)(tls, vfs, name))
	left := 0
	ours := new(pread)
	*ours = func(tls *libc.TLS, fd int32, buf uintptr, n libc.Tsize_t, at int64) libc.Tssize_t {
		if left > 1 {
			left--
		} else if left == 1 {
			*(*int32)(pointer(libc.X__errno_location(tls))) = int32(syscall.EIO)
			return -1
		}
		return its(tls, fd, buf, n, at)
	}
	set := function[setCall](v.FxSetSystemCall)
	if rc := set(tls, vfs, name, Address(ours)); rc != sqlite3.SQLITE_OK {
		t.Fatal(rc)
	}
	t.Cleanup(func() {
		set(tls, vfs, name, 0)
		libc.Xfree(nil, name)
	})
	return func(n int) { left = n }
}

// SQLite calls a read that fails damage. On a connection that uses our file system it is
// an I/O error, also where a check only lists it.
func TestFailedReadsAreNoted(t *testing.T) {
	c := connect(t)
	c.run("CREATE TABLE t(a)")
	c.run("INSERT INTO t SELECT zeroblob(3000) FROM (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)")
	c.run("PRAGMA wal_checkpoint(TRUNCATE)")
	c.close(nil)

	tls := libc.NewTLS()
	defer tls.Close()
	noted := Follow(tls)
	defer Unfollow(tls)
	vfs, err := VFS()
	if err != nil {
		t.Fatal(err)
	}
	out := libc.Xcalloc(tls, 1, libc.Tsize_t(PointerSize))
	defer libc.Xfree(tls, out)
	if rc := sqlite3.Xsqlite3_open_v2(tls, c.text(c.path), out, sqlite3.SQLITE_OPEN_READWRITE, c.text(vfs)); rc != sqlite3.SQLITE_OK {
		t.Fatal(rc)
	}
	db := Pointer(out)
	defer sqlite3.Xsqlite3_close(tls, db)
	from := failReads(t, tls)
	run := func(sql string) int32 {
		if rc := sqlite3.Xsqlite3_prepare_v2(tls, db, c.text(sql), -1, out, 0); rc != sqlite3.SQLITE_OK {
			return rc
		}
		stmt := Pointer(out)
		for sqlite3.Xsqlite3_step(tls, stmt) == sqlite3.SQLITE_ROW {
		}
		return sqlite3.Xsqlite3_finalize(tls, stmt)
	}
	run("SELECT * FROM sqlite_schema")
	if noted.Failed() != nil {
		t.Fatal(noted.Failed())
	}
	for _, sql := range []string{"SELECT sum(length(a)) FROM t", "PRAGMA quick_check"} {
		from(1)
		rc := run(sql)
		from(0)
		if rc != sqlite3.SQLITE_OK && rc&0xff != sqlite3.SQLITE_IOERR {
			t.Errorf("%s ends with %d", sql, rc)
		}
		if !errors.Is(noted.Failed(), syscall.EIO) {
			t.Errorf("%s: %v is noted", sql, noted.Failed())
		}
		noted.failed = nil
	}
}
