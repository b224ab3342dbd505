package livedb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/internal/sqlitefile"
)

// OpenSidecar opens the -wal or -journal at path for reading: no locks are on
// those. It never waits, not even for a pipe. Errors: fs.ErrNotExist;
// ErrNotRegular for a symbolic link, too, which SQLite refuses as well.
func OpenSidecar(path string) (*os.File, error) {
	if _, err := regular(path); err != nil {
		return nil, fmt.Errorf("open: %w", misplaced(err))
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openPlain, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() { // put there since the first look
		err = misplaced(notRegular(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open: %w", err), f.Close())
	}
	return f, nil
}

// CheckSidecars returns ErrNotRegular when a pipe, a symbolic link, a directory
// or the like is where SQLite keeps a -wal, -shm or -journal for the database
// at the resolved path real. SQLite does not work there, and opening it may hang.
func CheckSidecars(real string) error {
	for _, suffix := range sqlitefile.Suffixes() {
		if _, err := regular(real + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return misplaced(err)
		}
	}
	return nil
}

// RemoveSidecars removes what SQLite keeps next to a private file of ours.
func RemoveSidecars(path string) error {
	var errs []error
	for _, suffix := range sqlitefile.Suffixes() {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove sidecar: %w", err))
		}
	}
	return errors.Join(errs...)
}

// regular looks at path without opening it.
func regular(path string) (fs.FileInfo, error) {
	fi, err := os.Lstat(path)
	if err == nil && !fi.Mode().IsRegular() {
		err = notRegular(path)
	}
	return fi, err
}

func notRegular(path string) error { return fmt.Errorf("%s: %w", path, ErrNotRegular) }

// misplaced says what to do about what is no file of SQLite's.
func misplaced(err error) error {
	if errors.Is(err, ErrNotRegular) {
		return fmt.Errorf("%w; move it away: only SQLite's own files belong next to a database under that name", err)
	}
	return err
}
