//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// nobody is a user and group that own nothing here.
const nobody = 65534

// programsIn is where testscript makes the directory of the programs: testdb.InMemory comes later.
var programsIn = os.TempDir()

// unprivileged is exits for a user that file permissions stop, whichever user runs the
// tests: unprivileged N ARG….
func unprivileged(ts *testscript.TestScript, neg bool, args []string) {
	program, err := exec.LookPath("snapd")
	ts.Check(err)
	cmd := exec.Command(program, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "SNAPD_DB="+ts.Getenv("SNAPD_DB"), "TMPDIR="+ts.Getenv("TMPDIR"), "TZ=UTC")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		for dir, end := range map[string]string{program: programsIn, cmd.Dir: os.TempDir()} {
			for ; strings.HasPrefix(dir, end+string(filepath.Separator)); dir = filepath.Dir(dir) {
				ts.Check(os.Chmod(dir, 0o755))
			}
		}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		ts.Fatalf("run as nobody: %v", err)
	}
	_, werr := ts.Stdout().Write(stdout.Bytes())
	ts.Check(werr)
	_, werr = ts.Stderr().Write(stderr.Bytes())
	ts.Check(werr)
	if got := cmd.ProcessState.ExitCode(); int64(got) != number(ts, args[0]) {
		ts.Fatalf("as nobody: exit status %d, want %s\n%s%s", got, args[0], stdout.String(), stderr.String())
	}
	outputs(ts, args[1:], cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
}
