package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"example.com/snapd/snapshot"
)

// If this fails, recover --restart is lost where the backup directory has a long path.
func TestControlInALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a long name/", 20))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, stop, err := listenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dialControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, _, err := listenControl(dir); err == nil {
		t.Error("a second serve took the socket of the first")
	}
	stop()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// asAnother calls f on a thread of another user's.
func asAnother[T any](t *testing.T, user int, f func() (T, error)) T {
	t.Helper()
	var got T
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(user), uintptr(user), uintptr(user)); errno != 0 {
			failed <- errno
			return
		}
		var err error
		got, err = f()
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return got
}

// Lost: the truth about a recovery, when another user answers in serve's place; and the application's
// peace, when another user can have it restarted.
func TestControlIsForOneUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can be another user at one end")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	m, err := snapshot.Open(t.Context(), snapshot.Config{Database: filepath.Join(dir, "data.db"), Dir: dir, AnyOwner: true})
	if err != nil {
		t.Fatal(err)
	}
	at := &net.UnixAddr{Name: filepath.Join(dir, controlName), Net: "unix"}
	impostor := asAnother(t, 65534, func() (*net.UnixListener, error) { return net.ListenUnix("unix", at) })
	_, err = askRestart(t.Context(), m, "me", func(string) {})
	if !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(err.Error(), "user 65534") {
		t.Errorf("an answer of another user: %v", err)
	}
	if err := impostor.Close(); err != nil {
		t.Fatal(err)
	}

	l, err := net.ListenUnix("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(at.Name, 0o777); err != nil {
		t.Fatal(err)
	}
	asking := asAnother(t, 65534, func() (*net.UnixConn, error) { return net.DialUnix("unix", nil, at) })
	defer asking.Close()
	if _, err := asking.Write([]byte(`{"do":"restart"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &control{a: newApp(os.Stdin, os.Stdout, os.Stderr), m: m} // without an application: that is not asked
	if err := c.answer(conn); err == nil || !strings.Contains(err.Error(), "user 65534") {
		t.Errorf("a request of another user: %v", err)
	}
}
