package catalogfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"example.com/snapd/internal/durable"
)

// openRegular opens a file of the backup directory that is not made here and now.
// ErrUnsafe for everything but a regular file: a user who can write in the directory
// can put links and pipes there.
func openRegular(path string, flag int) (*os.File, error) {
	f, err := durable.OpenRegular(path, flag, 0)
	if errors.Is(err, durable.ErrNotRegular) {
		err = fmt.Errorf("%w: %w", ErrUnsafe, err)
	}
	return f, err
}

// checkRegular takes what Lstat or Stat returned.
func checkRegular(info fs.FileInfo, err error) error {
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file; move it away", ErrUnsafe)
	}
	return err
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
	f, err := openRegular(fl.Path(), os.O_WRONLY)
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
	if owner, known := ownerOf(info); known && owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%w: the backup directory %s is a symbolic link that belongs to user %d; name the directory itself", ErrUnsafe, c.dir, owner)
	}
	return nil
}

// exposure says how others could meddle with the backups, "" when they could not.
func (c *Catalog) exposure() string {
	info, err := os.Stat(c.dir)
	if err != nil {
		return ""
	}
	owner, known := ownerOf(info)
	switch {
	case !known:
		return ""
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Sprintf("the backup directory can be written by others (mode %04o): chmod 700 %s", info.Mode().Perm(), c.dir)
	case owner != os.Geteuid() && os.Geteuid() == 0:
		return fmt.Sprintf("the backup directory belongs to user %d, who can replace what this program, as root, keeps there: chown root %s", owner, c.dir)
	}
	return ""
}
