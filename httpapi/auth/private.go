package auth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// readPrivate reads a small regular file that only its owner may read or write. It does not
// follow links. otherwise is what a person can do instead of repairing the file.
func readPrivate(path string, limit int64, otherwise string) (raw []byte, info fs.FileInfo, err error) {
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
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, nil, refused("chmod 600 "+path+"; where the file system keeps no such rights, "+otherwise, "%s can be read or written by others than its owner (mode %04o)", path, info.Mode().Perm())
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
