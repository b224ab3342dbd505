//go:build unix

package activity

import (
	"errors"
	"syscall"
)

// isAlive reports whether there is a process with that id.
func isAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
