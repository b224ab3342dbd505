package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// If this fails, a full disk loses the old file or leaves debris.
func TestFullDisk(t *testing.T) {
	dev, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dev.Write([]byte("x")); !IsNoSpace(err) {
		t.Errorf("/dev/full: %v", err)
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}

	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("NOT TESTED: a real full disk: mounting needs root (%v)", err)
		return
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	target := filepath.Join(dir, "catalog.json")
	if err := WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(target, bytes.Repeat([]byte("new"), 1<<20), 0o600); !IsNoSpace(err) {
		t.Errorf("too large a file: %v", err)
	}
	wantFile(t, target, "old")
	if got := names(t, dir); !slices.Equal(got, []string{"catalog.json"}) {
		t.Errorf("left behind: %v", got)
	}
	if err := Preflight(dir, 2<<20); !errors.Is(err, ErrNoSpace) {
		t.Errorf("preflight: %v", err)
	}
}

// If this fails, CommitNew does not work on file systems or kernels that have
// no RENAME_NOREPLACE.
func TestCommitNewWithoutNoReplace(t *testing.T) {
	defer func(old func(string, string) error) { renameNoReplace = old }(renameNoReplace)
	target := filepath.Join(t.TempDir(), "x")
	for _, missing := range []error{unix.ENOSYS, unix.EINVAL} {
		renameNoReplace = func(string, string) error { return &os.LinkError{Op: "rename", Err: missing} }
		f := writeTemp(t, target, "content")
		if err := f.CommitNew(); err != nil {
			t.Fatal(err)
		}
		g := writeTemp(t, target, "other")
		if err := g.CommitNew(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("onto an existing file: %v", err)
		}
		if err := errors.Join(g.Discard(), Remove(target)); err != nil {
			t.Error(err)
		}
	}
}
