package livedb

import (
	"io"

	"golang.org/x/sys/unix"
)

// deadManSwitch is the byte of a -shm that every user of it holds a shared lock
// on (UNIX_SHM_DMS in SQLite's os_unix.c: 8 locks from byte 120 on, then this one).
const deadManSwitch = 128

// indexInUse asks through an open file description of its own, which would
// conflict with this process's POSIX locks, too. It sets no lock.
func indexInUse(d *descriptor) (used, known bool) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: deadManSwitch, Len: 1}
	if err := unix.FcntlFlock(d.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return false, false
	}
	return l.Type != unix.F_UNLCK, true
}
