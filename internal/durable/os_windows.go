package durable

import (
	"os"

	"golang.org/x/sys/windows"
)

// diskFull are the system's ways to say that no more can be written.
var diskFull = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}

func startWriteback(*os.File, int64, int64) {}

func dropCached(*os.File) {}

// syncDir does nothing: directories have no flush on Windows, and replace and
// renameNew write through instead.
func syncDir(string) error { return nil }

func syncDirIn(*os.Root, string) error { return nil }

func replace(from, to string) error {
	return moveFile(from, to, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
}

func renameNew(from, to string) error {
	return moveFile(from, to, windows.MOVEFILE_WRITE_THROUGH)
}

func moveFile(from, to string, flags uint32) error {
	f, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	t, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(f, t, flags); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func freeSpace(dir string) (uint64, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, err
	}
	return free, nil
}

// An open file cannot be removed here, which is mark enough.
func markAlive(*os.File) {}

// takeOver: without that mark no process can be known to be gone.
func takeOver(*os.File) bool { return false }

func isAlive(string) bool { return false }
