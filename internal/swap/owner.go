package swap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// copyOwnerAndMode gives the staged file the mode and owner of the file it replaces,
// or, where there is none, the owner of the directory.
func copyOwnerAndMode(staged, database string) error {
	st, err := os.Stat(database)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		st, err = os.Stat(filepath.Dir(database))
	}
	if err != nil {
		return err
	}
	if !missing {
		if err := os.Chmod(staged, st.Mode().Perm()); err != nil {
			return err
		}
	}
	return copyOwner(staged, st)
}
