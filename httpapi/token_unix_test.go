//go:build unix

package httpapi

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"example.com/snapd/snapshot"
)

// If this fails, a pipe at the token's place keeps the server from starting, or its
// writer chooses the token.
func TestTokenIsNotReadFromAPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, DefaultTokenFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newHandler(bareManager{dir: dir}, Options{}); !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("opened: %v", err)
	}
}
