//go:build unix

package swap

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// copyOwner gives f the owner in st, where this process may do that.
func copyOwner(f *os.File, st fs.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err := f.Chown(int(sys.Uid), int(sys.Gid))
	if errors.Is(err, fs.ErrPermission) {
		return nil // not root: the file belongs to us, as everything we may write
	}
	return err
}

// ownedByUs reports whether this process's user owns the file.
func ownedByUs(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid()
}
