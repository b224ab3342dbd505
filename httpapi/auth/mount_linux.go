package auth

import (
	"os"

	"golang.org/x/sys/unix"
)

// readOnlyMount reports whether nothing can be written where f is. It is a seam for tests.
var readOnlyMount = func(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && st.Flags&unix.ST_RDONLY != 0
}
