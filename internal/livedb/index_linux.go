package livedb

import (
	"io"

	"golang.org/x/sys/unix"

	"example.com/snapd/internal/sqlitefile"
)

// indexInUse asks through an open file description of its own, which would
// conflict with this process's POSIX locks, too. It sets no lock.
func indexInUse(d *descriptor) (used, known bool) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: sqlitefile.SHMUseByte, Len: 1}
	if err := unix.FcntlFlock(d.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return false, false
	}
	return l.Type != unix.F_UNLCK, true
}
