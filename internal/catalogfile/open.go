package catalogfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/trust"
)

// openOurs opens a file of the backup directory that is not made here and now. ErrUnsafe for
// everything but a regular file that no stranger may have put there: a user who can write in the
// directory can put links, pipes and other catalogs there. It is judged by its descriptor.
func openOurs(path string, flag int) (*os.File, error) {
	f, err := durable.OpenRegular(path, flag, 0)
	if errors.Is(err, durable.ErrNotRegular) {
		return nil, fmt.Errorf("%w: %w", ErrUnsafe, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err := ours(filepath.Dir(path), info, err); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, nil
}

// ours takes what Lstat or Stat returned of a file in dir.
func ours(dir string, info fs.FileInfo, err error) error {
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file; move it away", ErrUnsafe)
	}
	in, err := os.Stat(dir)
	if err == nil && trust.Planted(in, info, trust.User()) {
		uid, _ := trust.OwnerOf(info)
		return fmt.Errorf("%w: it belongs to user %d, and others can write in the directory; move it away, or give it to the user of the backups with chown", ErrUnsafe, uid)
	}
	return err
}

// lookOurs judges the file of that name in dir.
func lookOurs(dir, name string) error {
	info, err := os.Lstat(filepath.Join(dir, name))
	return ours(dir, info, err)
}

// guardWait bounds the wait for another process that moves something away.
const guardWait = 5 * time.Second

// moveAway renames what is in the place of a file of the catalog and is none of ours, so
// that nothing which another user puts there stops backups. A lock on the directory itself keeps two
// processes from moving each other's new file. Errors: ErrUnsafe, where it cannot be done.
func (c *Catalog) moveAway(name string) error {
	path := filepath.Join(c.dir, name)
	refused := func(why error) error { return errors.Join(named(path, lookOurs(c.dir, name)), explain(why)) }
	guard := flock.New(c.dir, flock.SetFlag(os.O_RDONLY))
	ctx, cancel := context.WithTimeout(context.Background(), guardWait)
	defer cancel()
	if _, err := guard.TryLockContext(ctx, retryLock); err != nil {
		return refused(err)
	}
	defer guard.Close()
	if err := lookOurs(c.dir, name); !errors.Is(err, ErrUnsafe) {
		return nil // another process was faster
	}
	to, err := c.freeName(name + ".replaced-" + c.now().UTC().Format(timeLayout))
	if err == nil {
		err = durable.Rename(path, filepath.Join(c.dir, to))
	}
	if err != nil {
		return refused(err)
	}
	c.remember(catalog.Changes{Moved: []string{to}})
	return nil
}

// named says which file an ErrUnsafe is about; errors of the system say it themselves.
func named(path string, err error) error {
	if errors.Is(err, ErrUnsafe) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// rewriteLock replaces the text of the file that fl has locked, and of no other.
func rewriteLock(fl *flock.Flock, text []byte) error {
	locked, err := fl.Stat()
	if err != nil {
		return err
	}
	f, err := openOurs(fl.Path(), os.O_WRONLY)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && os.SameFile(locked, info) {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(text, 0)
		}
	}
	return errors.Join(err, f.Close())
}

// checkLink refuses a backup directory that is a symbolic link which another user
// else can turn: backups, and what restores trust, would go where that user says.
func (c *Catalog) checkLink() error {
	info, err := os.Lstat(c.dir)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil // opening a file in a missing directory reports it
	}
	if owner, known := trust.OwnerOf(info); known && owner != 0 && owner != trust.User() {
		return fmt.Errorf("%w: the backup directory %s is a symbolic link that belongs to user %d; name the directory itself", ErrUnsafe, c.dir, owner)
	}
	return nil
}

// Exposure says how others could meddle with the backups in dir, "" when they could not.
func Exposure(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	owner, known := trust.OwnerOf(info)
	switch {
	case !known:
		return ""
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("the backup directory can be written by others (mode %04o): chmod 700 %s", info.Mode().Perm(), dir)
	case owner != 0 && trust.User() == 0:
		return fmt.Sprintf("the backup directory belongs to user %d, who can replace what this program, as root, keeps there: chown root %s", owner, dir)
	}
	return ""
}
