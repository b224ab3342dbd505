package livedb

import (
	"fmt"
	"io/fs"
	"os"
)

// Identify returns the identity of the file that path names now, without
// opening it. A missing one is fs.ErrNotExist.
func Identify(path string) (ID, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return ID{}, fmt.Errorf("identify: %w", err)
	}
	return idOf(path, fi)
}

// IdentityOf returns the identity in fi, which came from Lstat of path or from the open file.
func IdentityOf(path string, fi fs.FileInfo) (ID, error) { return idOf(path, fi) }

// Same reports whether f and now describe the same state, whenever they were
// taken. Unlike Unchanged it takes time stamps at their word: use it where a
// writer would also have moved a size, a counter or a salt, or is locked out. An index that only
// one of them saw is no difference.
func (f Fingerprint) Same(now Fingerprint) bool {
	if f.WAL.End == "" || now.WAL.End == "" {
		f.WAL.End, now.WAL.End = "", ""
	}
	return f.Main == now.Main && f.WAL == now.WAL && f.Journal == now.Journal
}
