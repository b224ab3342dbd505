package swap

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxAttr is the kernel's limit for the value of an attribute, and for the list of their names.
const maxAttr = 64 << 10

// attrsOf reads the extended attributes of a file. Those that are the kernel's seal over
// the file's bytes belong to no other file.
func attrsOf(f *os.File) (map[string][]byte, error) {
	fd, buf := int(f.Fd()), make([]byte, maxAttr)
	n, err := unix.Flistxattr(fd, buf)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil, nil // the file system has none
	}
	if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	var attrs map[string][]byte
	for _, raw := range bytes.Split(buf[:n], []byte{0}) {
		name := string(raw)
		if name == "" || name == "security.ima" || name == "security.evm" {
			continue
		}
		value := make([]byte, maxAttr)
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		if attrs == nil {
			attrs = map[string][]byte{}
		}
		attrs[name] = bytes.Clone(value[:n])
	}
	return attrs, nil
}

func setAttr(f *os.File, name string, value []byte) error {
	return unix.Fsetxattr(int(f.Fd()), name, value, 0)
}

func removeAttr(f *os.File, name string) error { return unix.Fremovexattr(int(f.Fd()), name) }
