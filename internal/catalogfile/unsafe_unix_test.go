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
	"example.com/snapd/internal/archive"
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

// movedAway fails unless there is a plain file at path, and what was there before is kept and reported.
func movedAway(t *testing.T, c *catalogfile.Catalog, path string) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%s: %v, %v", path, info, err)
	}
	ch := c.TakeChanges()
	if len(ch.Moved) != 1 || !strings.HasPrefix(ch.Moved[0], filepath.Base(path)+".replaced-") || !strings.Contains(strings.Join(ch.Lines(), "\n"), ch.Moved[0]) {
		t.Errorf("%s: not reported: %v", path, ch.Lines())
		return
	}
	if info, err := os.Lstat(filepath.Join(c.Dir(), ch.Moved[0])); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s: not kept: %v, %v", path, info, err)
	}
}

// Lost: a file of root's, truncated or overwritten through a link that another user
// put in a lock file's place; or a program that hangs on a pipe there, or does nothing more.
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
					if holder, running, err := c.ServeRunning(); running || err != nil {
						t.Errorf("asking for a service: %v, %v", holder, err)
					}
					lock, err := c.LockServe(t.Context())
					if err == nil {
						err = lock.Unlock()
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
				if err := soon(t, kind+" "+name, fn); err != nil {
					t.Errorf("%s for %s: %v", kind, name, err)
				}
				movedAway(t, c, path)
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

// Lost: a program that hangs on a pipe named catalog.json, or does nothing more, or takes for its
// catalog, and keeps a copy of, any file that a link points to; or a pin, where the link was to the catalog.
func TestPlantedCatalog(t *testing.T) {
	for kind, plant := range planted(t) {
		for what, fn := range map[string]func(c *catalogfile.Catalog) error{
			"entries": func(c *catalogfile.Catalog) error { _, err := c.Entries(); return err },
			"update": func(c *catalogfile.Catalog) error {
				return c.Update(context.Background(), func(*catalogfile.Tx) error { return nil })
			},
			"reconcile": func(c *catalogfile.Catalog) error { return c.LinkLatest() },
		} {
			for _, used := range []bool{true, false} {
				dir := t.TempDir()
				path := filepath.Join(dir, "catalog.json")
				c := open(t, dir)
				e := backup(t, c, catalog.Auto, catalog.Verified, start)
				if err := errors.Join(os.Remove(path), plant(path)); err != nil {
					t.Fatal(err)
				}
				if !used {
					err := soon(t, kind+" open", func() (err error) { c, err = catalogfile.Open(dir, "data"); return err })
					if err != nil {
						t.Fatalf("%s, open: %v", kind, err)
					}
				}
				if err := soon(t, kind+" "+what, func() error { return fn(c) }); err != nil {
					t.Errorf("%s, %s: %v", kind, what, err)
				}
				movedAway(t, c, path)
				if e := get(t, c, e.ID); e.Pinned == used {
					t.Errorf("%s, %s: %+v", kind, what, e)
				}
			}
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

// Lost: the backups, to a user who can write in the directory and puts another catalog, with
// archives of its own, in the place of ours; recovery would restore those.
func TestFilesOfStrangers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give files to other users")
	}
	const alice = 4001
	hers := open(t, t.TempDir())
	for range 3 {
		backup(t, hers, catalog.Manual, catalog.Verified, start.AddDate(1, 0, 0))
	}
	for name, c := range map[string]struct {
		owner    int
		mode     os.FileMode
		accepted bool
	}{
		"others can write in the directory":       {0, 0o770, false},
		"no other user could have put them there": {0, 0o755, true}, // copied from another machine, say
		"the directory is hers":                   {alice, 0o775, true},
	} {
		dir := t.TempDir()
		ours := open(t, dir)
		e := backup(t, ours, catalog.Auto, catalog.Verified, start)
		if err := os.CopyFS(filepath.Join(dir, "hers"), os.DirFS(hers.Dir())); err != nil {
			t.Fatal(err)
		}
		planted, err := filepath.Glob(filepath.Join(dir, "hers", "*.*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range planted {
			at := filepath.Join(dir, filepath.Base(path))
			if err := errors.Join(os.Rename(path, at), os.Lchown(at, alice, alice)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chown(dir, c.owner, 5000), os.Chmod(dir, c.mode)); err != nil {
			t.Fatal(err)
		}
		for what, at := range map[string]*catalogfile.Catalog{"in use": ours, "opened again": open(t, dir)} {
			reconcile(t, at)
			_, err := at.Get(e.ID)
			if all := entries(t, at); err != nil || (len(all) > 1) != c.accepted {
				t.Errorf("%s, %s: %v, %v", name, what, ids(all), err)
			}
		}
	}
}

// Lost: another user's or root's file, read as a backup at the end of a link; or the program, which
// waits for a pipe's other end; or a good backup, marked failed for what is in its place.
func TestPlantedArchive(t *testing.T) {
	for kind, plant := range planted(t) {
		c := open(t, t.TempDir())
		e := backup(t, c, catalog.Auto, catalog.Verified, start)
		away := filepath.Join(t.TempDir(), "away")
		if err := errors.Join(os.Rename(c.Path(e), away), plant(c.Path(e))); err != nil {
			t.Fatal(err)
		}
		opened := func() error {
			r, err := c.OpenArchive(e)
			if err == nil {
				err = r.Close()
			}
			return err
		}
		if err := soon(t, kind, opened); !errors.Is(err, catalogfile.ErrNotFound) || errors.Is(err, archive.ErrNotArchive) {
			t.Errorf("%s: %v", kind, err)
		}
		if err := errors.Join(os.Remove(c.Path(e)), os.Symlink(away, c.Path(e))); err != nil {
			t.Fatal(err)
		}
		if err := opened(); !errors.Is(err, catalogfile.ErrNotFound) {
			t.Errorf("a link to an archive: %v", err)
		}
	}
}
