//go:build !windows

package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// diskFull are the system's ways to say that no more can be written.
var diskFull = []error{syscall.ENOSPC, syscall.EDQUOT}

func replace(from, to string) error { return os.Rename(from, to) }

func syncDir(dir string) error { return syncOpened(os.Open(dir)) }

func syncDirIn(root *os.Root, dir string) error { return syncOpened(root.Open(dir)) }

func syncOpened(d *os.File, err error) error {
	if err != nil {
		return err
	}
	err = syncFile(d)
	// Some network and FUSE filesystems have no fsync for directories: they
	// make renames durable themselves, or cannot.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// markAlive marks a new temporary file as in use for sweepers, until its descriptor is closed. It waits
// for a sweeper that asks this moment. Filesystems without flock do without.
func markAlive(f *os.File) {
	for syscall.Flock(int(f.Fd()), syscall.LOCK_EX) == syscall.EINTR {
	}
}

// takeOver marks a file as markAlive does, if it is this user's alone, no other name leads to it, and no process has the mark.
func takeOver(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || fi.Mode().Perm() != 0o600 {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && st.Nlink == 1 && syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// isAlive reports whether a process holds that mark.
func isAlive(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) // it may be, as where no more files can be opened: it stays until a later sweep
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
