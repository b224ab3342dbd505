package auth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/trust"
	"example.com/snapd/snapshot"
)

// readPrivate reads a small regular file that is root's or ours, and that only its owner may
// read or write. It does not follow links. otherwise is what a person can do instead of
// repairing the file.
func readPrivate(path string, limit int64, otherwise string) (raw []byte, info fs.FileInfo, err error) {
	return readSmall(path, limit, otherwise, func(f *os.File, info fs.FileInfo) error {
		return checkMode(path, info, 0o077, otherwise)
	})
}

// readSecret reads a secret as systemd, Docker and Kubernetes mount it: the path may have
// symbolic links, and a group may read the file, where only root or we could have put it
// there. Everyone may on a read-only mount, which is how containers get theirs.
func readSecret(path string, limit int64, otherwise string) (raw []byte, info fs.FileInfo, err error) {
	other, err := trust.Find(path, trust.User())
	if err != nil {
		return nil, nil, err
	}
	if other != nil {
		return nil, nil, refused("put it into a directory of your own, or "+otherwise, "%s could be exchanged: %s", path, other)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, nil, err
	}
	return readSmall(real, limit, otherwise, func(f *os.File, info fs.FileInfo) error {
		unwanted := fs.FileMode(0o027)
		if readOnlyMount(f) {
			unwanted = 0o022
		}
		return checkMode(path, info, unwanted, otherwise)
	})
}

// readSmall reads a regular file that check allows, by its descriptor.
func readSmall(path string, limit int64, otherwise string, check func(*os.File, fs.FileInfo) error) (raw []byte, info fs.FileInfo, err error) {
	f, err := durable.OpenRegular(path, os.O_RDONLY, 0)
	if errors.Is(err, durable.ErrNotRegular) {
		return nil, nil, refused("put a plain file there, or "+otherwise, "%s is %s, not a plain file", path, kindOf(path))
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	info, err = f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if owner, known := trust.OwnerOf(info); known && owner != 0 && owner != trust.User() {
		return nil, nil, refused("chown it to the user of this program, or "+otherwise, "%s belongs to user %d, who knows what is in it", path, owner)
	}
	if err := check(f, info); err != nil {
		return nil, nil, err
	}
	raw, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(raw)) > limit {
		return nil, nil, refused(otherwise, "%s has more than %d bytes", path, limit)
	}
	return raw, info, nil
}

// checkMode refuses a file that has one of the unwanted rights.
func checkMode(path string, info fs.FileInfo, unwanted fs.FileMode, otherwise string) error {
	if runtime.GOOS == "windows" || info.Mode().Perm()&unwanted == 0 {
		return nil
	}
	return refused("chmod 600 "+path+"; where the file system keeps no such rights, "+otherwise, "%s can be read or written by others than its owner (mode %04o)", path, info.Mode().Perm())
}

// kindOf names what is not a regular file.
func kindOf(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return "a special file"
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	default:
		return "a special file"
	}
}

// refused returns an error that matches snapshot.ErrRefused, with advice.
func refused(advice, format string, args ...any) error {
	return message.WithHint(fmt.Errorf("%w: "+format, append([]any{snapshot.ErrRefused}, args...)...), advice)
}
