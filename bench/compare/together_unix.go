//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// together makes what the shell starts end with it when the run is interrupted.
func together(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
