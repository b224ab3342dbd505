//go:build unix

package durable

import "syscall"

const openPlain = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
