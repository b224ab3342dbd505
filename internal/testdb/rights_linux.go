package testdb

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
)

const nobody = 65534

// Nobody is the user whose file rights AsNobody gives: it owns what is made there.
func Nobody() int {
	if id := os.Geteuid(); id != 0 {
		return id
	}
	return nobody
}

// AsNobody runs fn with the file rights of the user "nobody" (65534), whom modes
// keep out, as they do not root. Only root can become another user; for others
// fn runs with its own rights, which must be limited as well. Rights to
// files belong to the thread: what fn starts in other goroutines keeps root's.
func AsNobody(t testing.TB, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		fn()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := errors.Join(syscall.Setfsgid(nobody), syscall.Setfsuid(nobody)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(syscall.Setfsuid(0), syscall.Setfsgid(0)); err != nil {
			t.Errorf("take the rights back: %v", err)
		}
	}()
	fn()
}
