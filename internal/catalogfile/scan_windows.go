package catalogfile

import (
	"io/fs"
	"os"
)

// sizeIn returns the size, in bytes, of a file in the open directory dir, and whether it is
// a regular file. Listing the directory has reported that already.
func sizeIn(_ *os.File, file fs.DirEntry) (size int64, regular bool, err error) {
	info, err := file.Info()
	if err != nil {
		return 0, false, err
	}
	return info.Size(), info.Mode().IsRegular(), nil
}
