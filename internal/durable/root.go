package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// A RootFile is a temporary file next to its target, as [File] is, in a place that is reached by one descriptor: whatever
// happens meanwhile to the path by which root was opened, the file goes to the place that was looked at.
type RootFile struct {
	File
	root         *os.Root
	target, temp string // in root
}

// CreateIn makes an empty temporary file in the directory of target, a path in root, which must exist.
func CreateIn(root *os.Root, target string, perm fs.FileMode) (*RootFile, error) {
	dir, base := path.Split(target)
	full := filepath.Join(root.Name(), target)
	before(StepCreate, full)
	temp := dir + tempName(base)
	f, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, fmt.Errorf("create temporary file for %s: %w", full, err)
	}
	markAlive(f)
	return &RootFile{File: File{target: full, f: f}, root: root, target: target, temp: temp}, nil
}

// Temp is the path of the temporary file in root.
func (f *RootFile) Temp() string { return f.temp }

// CommitNew makes the file the target, which must not exist yet; fs.ErrExist when it does. exclusive reports
// whether the file system itself refuses a taken name; else another writer that chose this name at the same instant can be replaced.
func (f *RootFile) CommitNew() (exclusive bool, err error) {
	exclusive = true
	err = f.publishIn(func(_, _ string) error {
		err := renameNewIn(f.root, f.temp, f.target)
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
			exclusive, err = linkNewIn(f.root, f.temp, f.target)
		}
		return err
	}, func(string) error { return SyncDirIn(f.root, path.Dir(f.target)) })
	return exclusive, err
}

// linkNewIn renames by a hard link, which fails on an existing name everywhere; on a file system without hard links it looks
// first, and is not exclusive.
func linkNewIn(root *os.Root, from, to string) (exclusive bool, err error) {
	err = root.Link(from, to)
	switch {
	case err == nil, errors.Is(err, fs.ErrExist) && sameIn(root, from, to): // the answer to our own link got lost, and NFS asked again
		return true, root.Remove(from)
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		return true, err
	}
	if _, err := root.Lstat(to); err == nil {
		return false, &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return false, root.Rename(from, to)
}

func sameIn(root *os.Root, a, b string) bool {
	one, err1 := root.Lstat(a)
	other, err2 := root.Lstat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

// Discard removes the temporary file. It does nothing after a CommitNew that published the file, nor the second time.
func (f *RootFile) Discard() error { return f.discard(func() error { return f.root.Remove(f.temp) }) }

// MkdirAllIn is MkdirAll for a path in root.
func MkdirAllIn(root *os.Root, dir string, perm fs.FileMode) error {
	if info, err := root.Stat(dir); dir == "." || err == nil && info.IsDir() {
		return nil
	}
	if err := MkdirAllIn(root, path.Dir(dir), perm); err != nil {
		return err
	}
	before(StepCreate, filepath.Join(root.Name(), dir))
	if err := root.Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDirIn(root, path.Dir(dir))
}

// RemoveIn deletes the file at name in root durably. A missing one is fs.ErrNotExist.
func RemoveIn(root *os.Root, name string) error {
	before(StepRemove, filepath.Join(root.Name(), name))
	if err := root.Remove(name); err != nil {
		return err
	}
	return SyncDirIn(root, path.Dir(name))
}

// SyncDirIn makes creations, renames and removals in the directory dir of root survive a crash.
func SyncDirIn(root *os.Root, dir string) error {
	full := filepath.Join(root.Name(), dir)
	before(StepSyncDir, full)
	if err := syncDirIn(root, dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", full, err)
	}
	synced(StepSyncDir, full)
	return nil
}
