//go:build unix

package durable

import (
	"os"
	"syscall"
	"testing"
)

// abandon takes the mark off a temporary file, as the end of its process does.
func abandon(t *testing.T, f *os.File) {
	t.Helper()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
}
