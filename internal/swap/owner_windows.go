package swap

import (
	"io/fs"
	"os"
)

// copyOwner does nothing: files inherit their directory's access list.
func copyOwner(*os.File, fs.FileInfo) error { return nil }

// ownedByUs is always true: the directory's access list decides who may write.
func ownedByUs(fs.FileInfo) bool { return true }
