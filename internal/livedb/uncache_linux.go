package livedb

import (
	"golang.org/x/sys/unix"

	"example.com/snapd/internal/sqlitefile"
)

// DropCached asks the system to forget what it has in memory of the database at path and
// its log, so that the next reading is one of the disk. What was not written yet stays,
// as does what a process has mapped. It is a request: nothing follows from its failure.
func DropCached(path string) {
	f, err := Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.d.Fd()), 0, 0, unix.FADV_DONTNEED)
	real, err := Resolve(path)
	if err != nil {
		return
	}
	if log, err := OpenSidecar(sqlitefile.WAL(real)); err == nil {
		_ = unix.Fadvise(int(log.Fd()), 0, 0, unix.FADV_DONTNEED)
		_ = log.Close() // it was not read
	}
}
