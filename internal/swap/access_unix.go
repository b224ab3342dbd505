//go:build unix

package swap

import (
	"io/fs"
	"os"
	"syscall"

	"example.com/snapd/internal/trust"
)

// accessOf reads the access of an open file.
func accessOf(f *os.File) (Access, error) {
	st, err := f.Stat()
	if err != nil {
		return Access{}, err
	}
	a := Access{Mode: st.Mode().Perm(), UID: -1, GID: -1}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		a.UID, a.GID = int(sys.Uid), int(sys.Gid)
	}
	a.Attrs, err = attrsOf(f)
	return a, err
}

// ownedByUs reports whether the user whose rights to files this process has owns the file.
func ownedByUs(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == trust.User()
}

// names is how many names the file has; 0 where that is not known.
func names(st fs.FileInfo) uint64 {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(sys.Nlink) //nolint:unconvert // its type differs between systems
}
