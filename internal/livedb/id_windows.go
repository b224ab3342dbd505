package livedb

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// locksPerHandle: Windows locks belong to the handle that set them.
const locksPerHandle = true

func idOf(path string, _ fs.FileInfo) (ID, error) {
	f, err := os.Open(path)
	if err != nil {
		return ID{}, fmt.Errorf("identity of %s: %w", path, err)
	}
	defer f.Close()
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return ID{}, fmt.Errorf("identity of %s: %w", path, err)
	}
	return ID{Dev: uint64(info.VolumeSerialNumber), Ino: uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}, nil
}

func deleted(*os.File) bool { return false }
