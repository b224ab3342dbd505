package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Seams for tests: the calls whose failure cannot be provoked portably.
var (
	syncFile    = (*os.File).Sync
	makeSymlink = os.Symlink
	makeLink    = os.Link
)

// Rename moves from to to, replacing it, and makes both directories durable.
// It does not fsync the file's contents.
func Rename(from, to string) error { return move(replace, from, to) }

// RenameNew is Rename that never replaces: fs.ErrExist when to exists.
func RenameNew(from, to string) error { return move(renameNew, from, to) }

func move(rename func(from, to string) error, from, to string) error {
	before(StepRename, to)
	if err := rename(from, to); err != nil {
		return fmt.Errorf("rename %s: %w", from, err)
	}
	err := SyncDir(filepath.Dir(to))
	if filepath.Dir(from) != filepath.Dir(to) {
		err = errors.Join(err, SyncDir(filepath.Dir(from)))
	}
	return err
}

// MkdirAll is os.MkdirAll that makes the new directories durable, as far as their parents
// may be read.
func MkdirAll(dir string, perm fs.FileMode) error {
	dir = filepath.Clean(dir)
	if isDir(dir) {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	before(StepCreate, dir)
	if err := os.Mkdir(dir, perm); err != nil && !isDir(dir) {
		return err
	}
	if err := SyncDir(parent); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Remove deletes the file at path durably. A missing one is not an error.
func Remove(path string) error {
	before(StepRemove, path)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return SyncDir(filepath.Dir(path))
}

// Symlink makes link point to target (relative to link's directory, or
// absolute), replacing link atomically. Where symbolic links cannot be made,
// link becomes a hard link of target. One caller at a time per link: the
// temporary name is fixed, so that what a crash leaves there is replaced by
// the next call and Sweep never has to remove a symbolic link.
func Symlink(target, link string) error {
	tmp := filepath.Join(filepath.Dir(link), TempPrefix+stem(filepath.Base(link))+"-link")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: clear leftover: %w", link, err)
	}
	if errSym := makeSymlink(target, tmp); errSym != nil {
		file := target
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(link), target)
		}
		if err := makeLink(file, tmp); err != nil {
			return fmt.Errorf("link %s to %s: %w", link, target, errors.Join(errSym, err))
		}
	}
	before(StepLink, link)
	errRename := replace(tmp, link)
	// POSIX rename does nothing between two hard links of one file, and leaves
	// both names; after any other success tmp is gone already.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errRename = errors.Join(errRename, err)
	}
	if errRename != nil {
		return fmt.Errorf("link %s to %s: %w", link, target, errRename)
	}
	return SyncDir(filepath.Dir(link))
}

// SyncDir makes creations, renames and removals in dir survive a crash.
func SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	before(StepSyncDir, dir)
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	synced(StepSyncDir, dir)
	return nil
}

// linkNew renames without overwriting by a hard link, which fails on an
// existing name everywhere.
func linkNew(from, to string) error {
	err := makeLink(from, to)
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return reserveNew(from, to)
	}
	if err != nil {
		return err
	}
	return os.Remove(from)
}

// reserveNew is for filesystems without hard links: an exclusively created
// empty file takes the name, and the rename replaces that. A crash in between
// leaves the empty file.
func reserveNew(from, to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	if err := replace(from, to); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}
