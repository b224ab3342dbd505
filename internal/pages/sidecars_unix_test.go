//go:build unix

package pages

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// Lost: a backup that hangs for good on a pipe where SQLite keeps its log, or one
// that deletes or follows what is none of SQLite's files.
func TestMisplacedSidecars(t *testing.T) {
	t.Parallel()
	for kind, create := range map[string]func(string) error{
		"pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"link":      func(p string) error { return os.Symlink("elsewhere", p) },
	} {
		for _, suffix := range []string{"-wal", "-journal", "-shm"} {
			path := filepath.Join(t.TempDir(), "x.db")
			shell(t, path, "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
			if err := create(path + suffix); err != nil {
				t.Fatal(err)
			}
			for name, begin := range map[string]func() error{
				"read":  func() error { _, err := Begin(t.Context(), path, livedb.Options{}); return err },
				"write": func() error { _, err := BeginWrite(t.Context(), path, time.Second); return err },
				"private": func() error {
					_, err := livedb.Look(path) // what a private copy begins with
					if suffix == "-shm" {
						return livedb.ErrNotRegular // a private copy does not read it
					}
					return err
				},
			} {
				result := make(chan error, 1)
				go func() { result <- begin() }()
				select {
				case err := <-result:
					if !errors.Is(err, livedb.ErrNotRegular) {
						t.Errorf("%s %s, %s: %v", kind, suffix, name, err)
					}
				case <-time.After(time.Minute):
					t.Fatalf("%s %s, %s: hangs", kind, suffix, name)
				}
			}
			if _, err := os.Lstat(path + suffix); err != nil {
				t.Errorf("%s %s: it is gone: %v", kind, suffix, err)
			}
		}
	}
}
