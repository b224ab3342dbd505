package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// session starts snapd as the first process of the terminal's session, so that
// the terminal's keys are signals for it and what it starts.
func (tty *terminal) session(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("snapd", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty.slave, tty.slave, tty.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd
}

func awaitLine(t *testing.T, file, line string) {
	t.Helper()
	var text []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ = os.ReadFile(file)
		if strings.Contains("\n"+string(text), "\n"+line+"\n") {
			return
		}
	}
	t.Fatalf("%s has no line %q:\n%s", file, line, text)
}

// A program that takes the second interrupt for "at once" would be cut off in the
// middle of its tidying up if serve forwarded a signal that the terminal has sent already.
func TestInterruptKeyReachesTheProgramOnce(t *testing.T) {
	path, db, _ := terminalDatabase(t)
	log := filepath.Join(t.TempDir(), "app.log")
	tty := newTerminal(t)
	cmd := tty.session(t, "--db", path, "serve", "--", "sampleapp", "serve", path, log)
	awaitLine(t, log, "ready")
	tty.typeIn(t, "\x03")
	awaitLine(t, log, "interrupt")
	// serve hears its signals in turn: the interrupt is dealt with before this one.
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, log, "user defined signal 1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := status(t, cmd); got != 7 {
		t.Errorf("status %d, want the program's, 7\n%s", got, tty.text())
	}
	awaitLine(t, log, "interrupts: 1")
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t WHERE x = 'last words'").Scan(&n); err != nil || n != 1 {
		t.Errorf("the program could not end in peace: %d last words, %v", n, err)
	}
}
