//go:build unix

package integrity

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Lost: a check that hangs for good, past its deadline, on a pipe where SQLite
// keeps its log; or a verdict on a database that could not be looked at.
func TestMisplacedSidecars(t *testing.T) {
	t.Parallel()
	for kind, create := range map[string]func(string) error{
		"pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"link":      func(p string) error { return os.Symlink(filepath.Join(filepath.Dir(p), "x.db"), p) },
	} {
		for _, suffix := range []string{"-wal", "-journal", "-shm"} {
			path := makeDB(t, "x.db", "PRAGMA journal_mode=wal; CREATE TABLE t(a)")
			if err := create(path + suffix); err != nil {
				t.Fatal(err)
			}
			for name, check := range map[string]func() (Report, error){
				"live": func() (Report, error) { return Check(t.Context(), path, Options{}) },
				"copy": func() (Report, error) { return CheckCopy(t.Context(), path, Options{}) },
			} {
				if name == "copy" && suffix == "-shm" {
					continue // a copy has none
				}
				result := make(chan error, 1)
				go func() {
					_, err := check()
					result <- err
				}()
				select {
				case err := <-result:
					var e *CheckError
					if !errors.As(err, &e) || e.Code != ErrCodeNotAFile || e.Hint == "" {
						t.Errorf("%s %s, %s: %#v", kind, suffix, name, err)
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
