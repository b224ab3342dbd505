package livedb

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FileSystemOf returns what kind of file system the path is on.
func FileSystemOf(path string) (FileSystem, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return Local, fmt.Errorf("file system of %s: %w", path, err)
	}
	return kindOf(&fs), nil
}

func (d *descriptor) fileSystem() (FileSystem, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &fs); err != nil {
		return Local, fmt.Errorf("file system: %w", err)
	}
	return kindOf(&fs), nil
}

func kindOf(fs *unix.Statfs_t) FileSystem {
	switch uint32(fs.Type) {
	case unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC:
		return UserSpace
	case unix.NFS_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC:
		return Network
	}
	return Local
}
