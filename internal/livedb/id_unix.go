//go:build unix

package livedb

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// locksPerHandle: POSIX locks belong to the process.
const locksPerHandle = false

// idOf returns the identity in fi, which came from Stat or File.Stat; path is unused here.
func idOf(_ string, fi fs.FileInfo) (ID, error) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}, fmt.Errorf("identity of %s: no inode number", fi.Name())
	}
	return ID{Dev: uint64(st.Dev), Ino: st.Ino}, nil //nolint:unconvert // Dev's type differs between systems
}

// deleted reports whether no name refers to the open file any more.
func deleted(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}
