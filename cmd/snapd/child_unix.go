//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"example.com/snapd/internal/trust"
)

// passed are the signals that the child gets, in addition to SIGINT and SIGTERM.
var passed = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}

// exitStatus is what a shell calls $?.
func exitStatus(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// terminalReaches reports whether the terminal's interrupt key reaches the child by
// itself: it goes to every process of the group in the foreground. A signal
// does not say where it came from, so one that another program sends meanwhile
// is taken for the key; SIGTERM never is.
func terminalReaches(child int) bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return false
	}
	group, err := unix.Getpgid(child)
	return err == nil && group == foreground && group == unix.Getpgrp()
}

// groupsBefore are root's further groups, which trust.ActAs gives up.
var groupsBefore, _ = os.Getgroups()

// asBefore has the command begin with the rights that snapd itself was started with.
func asBefore(cmd *exec.Cmd) {
	if trust.User() == os.Geteuid() {
		return
	}
	groups := make([]uint32, len(groupsBefore))
	for i, g := range groupsBefore {
		groups[i] = uint32(g)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), Groups: groups}}
}
