package main

import (
	"os"
	"syscall"
)

// A program that was built with cgo cannot act as another user, nor can one that is not root's.
func init() {
	_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPPID, 0, 0, 0)
	canAct = errno == 0 && os.Geteuid() == 0
}
