package engine

import (
	"testing"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlitefile"
)

// On Windows no process reads the bytes that another has locked, and SQLite asks for them
// again and again.
func TestReadAheadLeavesTheLockBytesAlone(t *testing.T) {
	const page = 4096
	tls := libc.NewTLS()
	defer tls.Close()
	buf := libc.Xmalloc(tls, page)
	defer libc.Xfree(tls, buf)
	for _, step := range []int64{page, -page} {
		a := &ReadAhead{reads: &Reads{}}
		defer a.Free(tls)
		reads := 0
		a.its.read = func(_ *libc.TLS, _, _ uintptr, amount int32, offset int64) int32 {
			reads++
			if overlapsLocks(offset, int64(amount)) {
				t.Errorf("%d bytes at %d", amount, offset)
			}
			return sqlite3.SQLITE_OK
		}
		for i := int64(100); i > 0; i-- {
			a.read(tls, 0, buf, page, sqlitefile.LockByte-i*step)
		}
		for i := int64(1); i < 100; i++ {
			a.read(tls, 0, buf, page, sqlitefile.LockByte+i*step)
		}
		if reads > 50 {
			t.Errorf("step %d: %d reads: nothing is proven", step, reads)
		}
	}
}
