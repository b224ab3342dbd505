//go:build unix

package auth

import "syscall"

// openPlain does not follow a link, nor wait for a pipe's other end.
const openPlain = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
