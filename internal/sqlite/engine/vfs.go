package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite takes a read that fails with EIO for damage of the database, a check lists a page
// that could not be read among its findings, and a journal that cannot be looked at is
// one that is not there. So the connections of this module use the operating system's
// file system under a second name, in which those are I/O errors that the connection
// remembers. Other connections of the process are not touched.

// vfsName is the second name.
const vfsName = "snapd"

// Reads are the reads of one connection.
type Reads struct{ failed error }

// Failed returns why the first read that failed did, nil where none failed.
func (r *Reads) Failed() error { return r.failed }

// reads has the Reads of every connection, by the *libc.TLS that it uses: the engine hands
// that to each method of a file.
var reads sync.Map

// Follow notes which reads of the connection that uses tls fail, until Unfollow.
func Follow(tls *libc.TLS) *Reads {
	r := &Reads{}
	reads.Store(tls, r)
	return r
}

// Unfollow ends what Follow began.
func Unfollow(tls *libc.TLS) { reads.Delete(tls) }

// note notes a failed read of the connection that uses tls.
func note(tls *libc.TLS, err error) {
	if r, ok := reads.Load(tls); ok && r.(*Reads).failed == nil {
		r.(*Reads).failed = err
	}
}

// The methods of sqlite3_vfs that are replaced or called.
type (
	openMethod   func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	accessMethod func(tls *libc.TLS, vfs, name uintptr, flags int32, out uintptr) int32
	errorMethod  func(tls *libc.TLS, vfs uintptr, n int32, buf uintptr) int32
)

// fileSystem is the one of the second name.
type fileSystem struct {
	lastError         errorMethod
	itsOpen, open     openMethod // the system's, and ours: the engine has its address
	itsAccess, access accessMethod
	files             sync.Map // addresses of sqlite3_io_methods: the system's to *fileKind
}

// fileKind is a kind of files that the system knows: those that are locked alike.
type fileKind struct {
	methods   uintptr // ours
	its, ours moveMethod
}

// registered keeps the file system from the garbage collector: the engine has addresses in it.
//
//lint:ignore U1000 it is kept, not read
var registered *fileSystem

// VFS registers the file system, at the first call, and returns its name.
var VFS = sync.OnceValues(func() (string, error) {
	tls := libc.NewTLS()
	defer tls.Close()
	its := sqlite3.Xsqlite3_vfs_find(tls, 0)
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	name, err := libc.CString(vfsName)
	if its == 0 || p == 0 || err != nil {
		return "", errors.Join(errors.New("SQLite's file system cannot be set up"), err)
	}
	v := (*sqlite3.Tsqlite3_vfs)(pointer(p))
	*v = *(*sqlite3.Tsqlite3_vfs)(pointer(its))
	v.FpNext, v.FzName = 0, name
	s := &fileSystem{lastError: function[errorMethod](v.FxGetLastError)}
	instead(&v.FxOpen, &s.itsOpen, &s.open, s.opened)
	instead(&v.FxAccess, &s.itsAccess, &s.access, s.look)
	if rc := sqlite3.Xsqlite3_vfs_register(tls, p, 0); rc != sqlite3.SQLITE_OK {
		return "", fmt.Errorf("SQLite's file system cannot be registered: code %d", rc)
	}
	registered = s
	return vfsName, nil
})

// opened is xOpen.
func (s *fileSystem) opened(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	rc := s.itsOpen(tls, vfs, name, file, flags, out)
	f := (*sqlite3.Tsqlite3_file)(pointer(file))
	if f.FpMethods == 0 {
		return rc
	}
	kind, ok := s.files.Load(f.FpMethods)
	if !ok {
		methods := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
		if methods == 0 {
			return sqlite3.SQLITE_NOMEM // SQLite closes the file
		}
		m := (*sqlite3.Tsqlite3_io_methods)(pointer(methods))
		*m = *(*sqlite3.Tsqlite3_io_methods)(pointer(f.FpMethods))
		k := &fileKind{methods: methods}
		instead(&m.FxRead, &k.its, &k.ours, func(tls *libc.TLS, file, buf uintptr, amount int32, offset int64) int32 {
			rc := k.its(tls, file, buf, amount, offset)
			if rc == sqlite3.SQLITE_OK || rc == sqlite3.SQLITE_IOERR_SHORT_READ {
				return rc
			}
			errno := syscall.Errno(s.lastError(tls, vfs, 0, 0))
			note(tls, fmt.Errorf("%d bytes at %d could not be read: %w", amount, offset, errno))
			return sqlite3.SQLITE_IOERR_READ
		})
		kind, _ = s.files.LoadOrStore(f.FpMethods, k)
	}
	f.FpMethods = kind.(*fileKind).methods
	return rc
}

// look is xAccess. The system's calls a file that it could not look at missing.
func (s *fileSystem) look(tls *libc.TLS, vfs, name uintptr, flags int32, out uintptr) int32 {
	rc := s.itsAccess(tls, vfs, name, flags, out)
	if rc != sqlite3.SQLITE_OK || flags != sqlite3.SQLITE_ACCESS_EXISTS || Int(out) != 0 {
		return rc
	}
	fi, err := os.Stat(libc.GoString(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rc
	case err == nil:
		if fi.Size() > 0 {
			*(*int32)(pointer(out)) = 1
		}
		return rc
	}
	note(tls, err)
	return sqlite3.SQLITE_IOERR_ACCESS
}
