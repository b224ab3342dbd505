//go:build unix

package livedb

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Lost: a program that hangs for good, ignoring SIGTERM, because of a
// pipe where SQLite keeps its log; or that reads through a link what SQLite would not.
func TestMisplacedSidecars(t *testing.T) {
	make := map[string]func(string) error{
		"pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"link": func(p string) error {
			target := filepath.Join(t.TempDir(), "target")
			if err := os.WriteFile(target, []byte("x"), 0o600); err != nil {
				return err
			}
			return os.Symlink(target, p)
		},
	}
	for kind, create := range make {
		for _, suffix := range []string{"-wal", "-journal", "-shm"} {
			path := makeDB(t, "CREATE TABLE t(a)")
			if err := create(path + suffix); err != nil {
				t.Fatal(err)
			}
			done := func(name string, fn func() error) {
				result := goRun(fn)
				select {
				case err := <-result:
					if !errors.Is(err, ErrNotRegular) {
						t.Errorf("%s %s: %s: %v", kind, suffix, name, err)
					}
				case <-time.After(time.Minute):
					t.Fatalf("%s %s: %s hangs", kind, suffix, name)
				}
			}
			done("check", func() error { return CheckSidecars(path) })
			done("open", func() error { _, err := OpenSidecar(path + suffix); return err })
			if suffix != "-shm" {
				done("fingerprint", func() error { _, err := TakeFingerprint(path); return err })
			} else {
				done("index", func() error { _, err := OpenIndex(path); return err })
			}
		}
	}
	if err := CheckSidecars(makeDB(t, "CREATE TABLE t(a)")); err != nil {
		t.Error(err)
	}
}

func goRun(fn func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- fn() }()
	return c
}
