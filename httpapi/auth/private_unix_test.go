//go:build unix

package auth

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
	if err := syscall.Mkfifo(filepath.Join(dir, "token"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(optionsIn(dir)); !errors.Is(err, snapshot.ErrRefused) {
		t.Errorf("opened: %v", err)
	}
}

// If this fails, a pipe at the place of sessions.json keeps the server from starting.
func TestSessionsAreNotReadFromAPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, sessionFile), 0o600); err != nil {
		t.Fatal(err)
	}
	checkUnusableSessionFile(t, dir, "is a named pipe")
}
