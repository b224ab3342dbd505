//go:build !windows

package durable

import (
	"errors"
	"os"
	"syscall"
)

// diskFull are the system's ways to say that no more can be written.
var diskFull = []error{syscall.ENOSPC, syscall.EDQUOT}

func replace(from, to string) error { return os.Rename(from, to) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
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
