//go:build unix

package httpapi

import (
	"errors"
	"syscall"
)

// ownerOnly gives a socket its mode before it has a name: by that, a user who can write in the
// directory could have another file's mode changed. Systems that do not take it from there say so.
func ownerOnly(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
	if errors.Is(failed, syscall.EINVAL) || errors.Is(failed, syscall.ENOTSUP) {
		failed = nil
	}
	return errors.Join(err, failed)
}
