package durable

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

func startWriteback(f *os.File, off, n int64) {
	// Advice; see (*File).note.
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

func dropCached(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// renameNew renames atomically and fails with fs.ErrExist on an existing to.
func renameNew(from, to string) error {
	err := renameNoReplace(from, to)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return linkNew(from, to) // an old kernel, or a filesystem without the flag
	}
	return err
}

// renameNewIn is renameNew in one directory of root, without another way.
func renameNewIn(root *os.Root, from, to string) error {
	dir, err := root.Open(path.Dir(to))
	if err != nil {
		return err
	}
	err = unix.Renameat2(int(dir.Fd()), path.Base(from), int(dir.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	if err != nil {
		err = &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return errors.Join(err, dir.Close())
}

// renameNoReplace is a seam for tests.
var renameNoReplace = func(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
