package engine

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlitefile"
)

// SQLite reads its file a page at a time, and each is a system call. A connection of
// ours reads whole files, mostly in runs of neighbouring pages, up or down: where it
// goes on next to what it read last, more than it asked for is read in that direction.
//
// What was read is kept for as long as nothing can change what SQLite reads from the
// file, and forgotten at every change of a lock. In the rollback-journal modes SQLite
// reads under a SHARED lock, under which no one writes to the file. In WAL mode it holds
// a read mark: checkpoints then write no page but those that this transaction
// reads from the log, and with read mark 0 none.

const (
	// aheadBytes is the most that is read at once, and aheadPages how many pages it is
	// where a run begins: many are short, and reading in vain costs more than a call.
	aheadBytes = 64 << 10
	aheadPages = 4
	// aligned is where the memory for it begins: what is not aligned is copied more slowly.
	aligned = 4 << 10
)

// The methods of sqlite3_io_methods that stand between SQLite and a file.
type (
	moveMethod    func(tls *libc.TLS, file, buf uintptr, amount int32, offset int64) int32
	resizeMethod  func(tls *libc.TLS, file uintptr, size int64) int32
	lockMethod    func(tls *libc.TLS, file uintptr, level int32) int32
	shmLockMethod func(tls *libc.TLS, file uintptr, offset, n, flags int32) int32
)

type fileMethods struct {
	read, write  moveMethod
	truncate     resizeMethod
	lock, unlock lockMethod
	shmLock      shmLockMethod
}

// ReadAhead is between SQLite and the main file of one connection.
type ReadAhead struct {
	methods uintptr     // what the file's are replaced with, in the engine's memory
	its     fileMethods // the file's own
	ours    fileMethods // kept here: the engine has their addresses
	mark    int         // the read mark that is held, -1 for none
	reads   *Reads      // of the connection

	// buf is aheadBytes of block, 0 until a run begins. It is the engine's memory as well: its
	// reading does arithmetic on addresses, which Go's checks of pointers do not let it do on ours.
	block, buf uintptr

	at, n    int64 // where in the file it was read, and how much of it
	from, to int64 // what SQLite read last
	next     int64 // how much to read where the run goes on; 0 where none is under way
}

// Ahead puts a ReadAhead before the main file of db. Where there is none (a database in
// memory), it is nil. rc is a result code of SQLite.
func Ahead(tls *libc.TLS, db uintptr, reads *Reads) (a *ReadAhead, rc int32) {
	name, err := libc.CString("main")
	if err != nil {
		return nil, sqlite3.SQLITE_NOMEM
	}
	defer libc.Xfree(tls, name)
	out := libc.Xcalloc(tls, 1, libc.Tsize_t(PointerSize))
	if out == 0 {
		return nil, sqlite3.SQLITE_NOMEM
	}
	defer libc.Xfree(tls, out)
	if rc := sqlite3.Xsqlite3_file_control(tls, db, name, sqlite3.SQLITE_FCNTL_FILE_POINTER, out); rc != sqlite3.SQLITE_OK {
		return nil, rc
	}
	file := (*sqlite3.Tsqlite3_file)(pointer(Pointer(out)))
	if file == nil || file.FpMethods == 0 {
		return nil, sqlite3.SQLITE_OK
	}
	methods := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	if methods == 0 {
		return nil, sqlite3.SQLITE_NOMEM
	}
	m := (*sqlite3.Tsqlite3_io_methods)(pointer(methods))
	*m = *(*sqlite3.Tsqlite3_io_methods)(pointer(file.FpMethods))
	a = &ReadAhead{methods: methods, mark: -1, reads: reads}
	a.replace(m)
	file.FpMethods = methods // until the file is closed, which calls its own xClose
	return a, sqlite3.SQLITE_OK
}

// replace puts ours into m for its own.
func (a *ReadAhead) replace(m *sqlite3.Tsqlite3_io_methods) {
	instead(&m.FxRead, &a.its.read, &a.ours.read, a.read)
	instead(&m.FxWrite, &a.its.write, &a.ours.write, func(tls *libc.TLS, file, buf uintptr, amount int32, offset int64) int32 {
		a.forget()
		return a.its.write(tls, file, buf, amount, offset)
	})
	instead(&m.FxTruncate, &a.its.truncate, &a.ours.truncate, func(tls *libc.TLS, file uintptr, size int64) int32 {
		a.forget()
		return a.its.truncate(tls, file, size)
	})
	instead(&m.FxLock, &a.its.lock, &a.ours.lock, func(tls *libc.TLS, file uintptr, level int32) int32 {
		a.forget()
		return a.its.lock(tls, file, level)
	})
	instead(&m.FxUnlock, &a.its.unlock, &a.ours.unlock, func(tls *libc.TLS, file uintptr, level int32) int32 {
		a.forget()
		return a.its.unlock(tls, file, level)
	})
	if m.FiVersion < 2 {
		return // no log can be used with it
	}
	instead(&m.FxShmLock, &a.its.shmLock, &a.ours.shmLock, func(tls *libc.TLS, file uintptr, offset, n, flags int32) int32 {
		a.forget()
		rc := a.its.shmLock(tls, file, offset, n, flags)
		if rc == sqlite3.SQLITE_OK {
			a.marked(int(offset)-sqlitefile.SHMReadLock, flags)
		}
		return rc
	})
}

// marked follows the shared locks of read marks.
func (a *ReadAhead) marked(mark int, flags int32) {
	switch {
	case mark < 0 || flags&sqlite3.SQLITE_SHM_SHARED == 0:
	case flags&sqlite3.SQLITE_SHM_LOCK != 0:
		a.mark = mark
	case mark == a.mark:
		a.mark = -1
	}
}

// Mark returns which of a log's read marks the connection's transaction holds, -1 for none.
func (a *ReadAhead) Mark() int { return a.mark }

// instead keeps the function whose address is in *address in its, and puts ours there.
func instead[F any](address *uintptr, its, kept *F, ours F) {
	*its = function[F](*address)
	*kept = ours
	*address = Address(kept)
}

// Free gives back the engine's memory, once the file is closed.
func (a *ReadAhead) Free(tls *libc.TLS) {
	libc.Xfree(tls, a.methods)
	libc.Xfree(tls, a.block) // 0 is nothing
}

func (a *ReadAhead) forget() { a.n, a.next = 0, 0 }

// read is SQLite's xRead. For pages that it cannot give it calls the file's own xRead and returns its errors.
func (a *ReadAhead) read(tls *libc.TLS, file, buf uintptr, amount int32, offset int64) int32 {
	from, to := offset, offset+int64(amount)
	if !a.holds(from, to) {
		up, down := from == a.to, to == a.from
		a.from, a.to = from, to
		if !up && !down || a.next == 0 {
			a.next = min(aheadPages*(to-from), aheadBytes)
			return a.its.read(tls, file, buf, amount, offset)
		}
		if a.fill(tls, file, down); !a.holds(from, to) {
			return a.its.read(tls, file, buf, amount, offset)
		}
	}
	a.from, a.to = from, to
	copy(Bytes(buf, int(amount)), Bytes(a.buf+uintptr(from-a.at), int(amount)))
	return sqlite3.SQLITE_OK
}

func (a *ReadAhead) holds(from, to int64) bool { return a.at <= from && to <= a.at+a.n && from < to }

// overlapsLocks reports whether size bytes from start on have SQLite's lock bytes in
// them. On Windows no process can read what another has locked; SQLite tries it for over
// a second.
func overlapsLocks(start, size int64) bool {
	return start < sqlitefile.LockByte+sqlitefile.LockBytes && sqlitefile.LockByte < start+size
}

// fill reads what SQLite asked for last, and more next to it: below where the run goes down.
func (a *ReadAhead) fill(tls *libc.TLS, file uintptr, down bool) {
	start, size := a.from, a.next
	if down {
		size = min(size, a.to)
		start = a.to - size
	}
	a.n, a.next = 0, min(2*a.next, aheadBytes)
	if size < 2*(a.to-a.from) || overlapsLocks(start, size) {
		return // nothing to be gained, or nothing to be had
	}
	if a.buf == 0 {
		if a.block = libc.Xmalloc(tls, aheadBytes+aligned); a.block == 0 {
			return
		}
		a.buf = (a.block + aligned - 1) / aligned * aligned
	}
	// Where the file ends before, or cannot be read, SQLite reads its page by itself.
	was := a.reads.failed
	if a.its.read(tls, file, a.buf, int32(size), start) == sqlite3.SQLITE_OK {
		a.at, a.n = start, size
	}
	a.reads.failed = was
}
