//go:build unix

package catalogfile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
)

// planted are the things that a user who can write in a directory may put in a file's place.
func planted(t *testing.T) map[string]func(path string) error {
	victim := filepath.Join(t.TempDir(), "victim")
	write(t, victim, []byte("precious"))
	t.Cleanup(func() {
		if got := string(readFile(t, victim)); got != "precious" {
			t.Errorf("the file that a link points to now holds %q", got)
		}
	})
	return map[string]func(path string) error{
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link":      func(path string) error { return os.Symlink(victim, path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	}
}

// soon fails when fn hangs.
func soon(t *testing.T, what string, fn func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- fn() }()
	select {
	case err := <-result:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// Lost: a file of root's, truncated or overwritten through a link that another user
// put in a lock file's place; or a program that hangs on a pipe there.
func TestPlantedLockFiles(t *testing.T) {
	for kind, plant := range planted(t) {
		for _, name := range []string{".snapd.lock", ".snapd-serve.lock", ".catalog.lock"} {
			dir := t.TempDir()
			c := open(t, dir)
			backup(t, c, catalog.Auto, catalog.Verified, start)
			path := filepath.Join(dir, name)
			if err := errors.Join(os.RemoveAll(path), plant(path)); err != nil {
				t.Fatal(err)
			}
			for what, fn := range map[string]func() error{
				".snapd.lock": func() error {
					lock, err := c.LockOperation(t.Context(), true, "backup")
					if err == nil {
						err = lock.Unlock()
					}
					return err
				},
				".snapd-serve.lock": func() error {
					lock, err := c.LockServe(t.Context())
					if err == nil {
						err = lock.Unlock()
					}
					_, _, asked := c.ServeRunning()
					if !errors.Is(asked, catalogfile.ErrUnsafe) {
						t.Errorf("asking for a service: %v", asked)
					}
					return err
				},
				".catalog.lock": func() error {
					return c.Update(t.Context(), func(tx *catalogfile.Tx) error { tx.NextSeq(); return nil })
				},
			} {
				if what != name {
					continue
				}
				if err := soon(t, kind+" "+name, fn); !errors.Is(err, catalogfile.ErrUnsafe) || !strings.Contains(err.Error(), name) {
					t.Errorf("%s for %s: %v", kind, name, err)
				}
			}
		}
	}
}

// Lost: the same, when the link takes the lock file's place while the lock is held.
func TestLockFileReplacedWhileHeld(t *testing.T) {
	for kind, plant := range planted(t) {
		dir := t.TempDir()
		c := open(t, dir)
		lock, err := c.LockOperation(t.Context(), true, "backup")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, ".snapd.lock")
		if err := errors.Join(os.Remove(path), plant(path)); err != nil {
			t.Fatal(err)
		}
		if err := soon(t, kind, lock.Unlock); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// Lost: a program that hangs on a pipe named catalog.json, or takes for its
// catalog, and keeps a copy of, any file that a link points to.
func TestPlantedCatalog(t *testing.T) {
	for kind, plant := range planted(t) {
		dir := t.TempDir()
		path := filepath.Join(dir, "catalog.json")
		used := open(t, dir)
		backup(t, used, catalog.Auto, catalog.Verified, start)
		if err := errors.Join(os.Remove(path), plant(path)); err != nil {
			t.Fatal(err)
		}
		for what, fn := range map[string]func() error{
			"open":    func() error { _, err := catalogfile.Open(dir, "data"); return err },
			"entries": func() error { _, err := used.Entries(); return err },
			"rebuild": func() error { _, err := used.Rebuild(context.Background()); return err },
		} {
			if err := soon(t, kind+" "+what, fn); !errors.Is(err, catalogfile.ErrUnsafe) || !strings.Contains(err.Error(), "catalog.json") {
				t.Errorf("%s, %s: %v", kind, what, err)
			}
		}
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}

// Lost: the word that any user of the machine can replace the backups.
func TestExposedDirectory(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	backup(t, c, catalog.Auto, catalog.Verified, start)
	for mode, exposed := range map[os.FileMode]bool{0o777: true, 0o770: true, 0o702: true, 0o755: false, 0o700: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		ch := reconcile(t, c)
		if advised := strings.Contains(strings.Join(ch.Lines(), "\n"), "chmod 700 "+dir); advised != exposed {
			t.Errorf("mode %o: %v", mode, ch.Lines())
		}
	}
	if os.Geteuid() != 0 {
		t.Log("NOT PROVEN without root: directories and links of other users")
		return
	}
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	if ch := reconcile(t, c); !strings.Contains(strings.Join(ch.Lines(), "\n"), "belongs to user 65534") {
		t.Errorf("another user's: %v", ch.Lines())
	}
	// An administrator's own link is fine; another user's could be turned.
	link := filepath.Join(t.TempDir(), "backups")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	lock := func() error {
		l, err := open(t, link).LockOperation(t.Context(), false, "backup")
		if err == nil {
			err = l.Unlock()
		}
		return err
	}
	if err := lock(); err != nil {
		t.Error(err)
	}
	if err := os.Lchown(link, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := lock(); !errors.Is(err, catalogfile.ErrUnsafe) {
		t.Errorf("another user's link: %v", err)
	}
}
