package activity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/testdb"
)

// Lost: the difference between a log that cannot be written and one that was; or
// reading, where only writing is denied.
func TestReadOnlyDirectory(t *testing.T) {
	l := New(t.TempDir())
	appendAll(t, l, 0, 2)
	if err := errors.Join(os.Chmod(l.path(logName), 0o444), os.Chmod(l.dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	for dir := l.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Error(err)
			}
		}()
	}
	testdb.AsNobody(t, func() {
		if err := l.Append(entry(2)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("append: %v", err)
		}
		wants(t, all(t, l, 1), "1 0")
	})
}

// Lost: another user's file, which a user who can write in the directory has made
// the log a link to; or the whole program, which waits for a pipe's other end.
func TestOnlyRegularFilesAreTouched(t *testing.T) {
	for kind, put := range map[string]func(path, victim string) error{
		"link":     func(path, victim string) error { return os.Symlink(victim, path) },
		"dangling": func(path, victim string) error { return os.Symlink(victim+"-new", path) },
		"pipe":     func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":   func(path, _ string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(kind, func(t *testing.T) {
			victim := filepath.Join(t.TempDir(), "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{logName, oldName, lockName} {
				l := New(t.TempDir())
				l.max = 400
				if err := put(l.path(name), victim); err != nil {
					t.Fatal(err)
				}
				var err error
				for n := 0; n < 20 && err == nil; n++ {
					err = l.Append(entry(n))
				}
				if name != oldName && !errors.Is(err, durable.ErrNotRegular) {
					t.Errorf("%s: append: %v", name, err)
				}
				if _, _, err := l.Page("", 1); name != lockName && err != nil && !errors.Is(err, durable.ErrNotRegular) {
					t.Errorf("%s: page: %v", name, err)
				}
				if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
					t.Errorf("%s: the link's target holds %q, %v", name, text, err)
				}
				if _, err := os.Lstat(victim + "-new"); err == nil {
					t.Errorf("%s: the link's target was made", name)
				}
			}
		})
	}
}
