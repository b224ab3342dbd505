package swap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"example.com/snapd/internal/durable"
)

// copyOwnerAndMode durably gives the staged file the mode and owner of the file it
// replaces, or, where there is none, the owner of the directory. It does so by the descriptor:
// a link that another user puts in the file's place meanwhile leads nowhere.
func copyOwnerAndMode(staged, database string) (err error) {
	st, err := os.Stat(database)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		st, err = os.Stat(filepath.Dir(database))
	}
	if err != nil {
		return err
	}
	f, err := durable.OpenRegular(staged, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !missing {
		if err := chmod(f, st.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := copyOwner(f, st); err != nil {
		return err
	}
	return durable.Sync(f)
}

// chmod gives f the mode, unless it has it: a file system like FAT can change none.
func chmod(f *os.File, mode fs.FileMode) error {
	st, err := f.Stat()
	if err != nil || st.Mode().Perm() == mode {
		return err
	}
	return f.Chmod(mode)
}
