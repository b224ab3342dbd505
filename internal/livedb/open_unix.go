//go:build unix

package livedb

import "syscall"

// openPlain keeps an open from waiting for the other end of a pipe and from
// following a symbolic link put there since the path was resolved. SQLite opens
// with O_NOFOLLOW as well. Regular files do not notice O_NONBLOCK.
const openPlain = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
