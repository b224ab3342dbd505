//go:build unix

package trust

import (
	"io/fs"
	"syscall"
)

// hasOwners: modes and owners are what decides who may write.
const hasOwners = true

// OwnerOf returns the user that a file belongs to.
func OwnerOf(info fs.FileInfo) (uid int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// groupOf returns the group that a file belongs to.
func groupOf(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return int(st.Gid)
}
