package livedb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"example.com/snapd/internal/sqlitefile"
)

// maxLinks is where a chain of symbolic links is called a loop; SQLite's own limit is 200.
const maxLinks = 100

// Resolve returns the absolute path of the file that path names, free of
// symbolic links, as SQLite resolves it: -wal, -shm and -journal are next to the
// real file, not next to the link. The file itself may be missing (also as the
// target of a link), its directory may not.
func Resolve(path string) (string, error) {
	abs, err := absolute(path)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", path, err)
	}
	for range maxLinks {
		dir, base := filepath.Split(abs)
		if base == "" || base == "." || base == ".." { // a directory, or nothing at all
			dir, base = abs, ""
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", path, err)
		}
		abs = filepath.Join(dir, base)
		fi, err := os.Lstat(abs)
		if errors.Is(err, fs.ErrNotExist) {
			return abs, nil
		}
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", path, err)
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			return abs, nil
		}
		target, err := os.Readlink(abs)
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", path, err)
		}
		if !filepath.IsAbs(target) {
			target = dir + string(filepath.Separator) + target
		}
		abs = target
	}
	return "", fmt.Errorf("resolve %s: more than %d symbolic links", path, maxLinks)
}

// absolute is filepath.Abs without its cleaning: "link/../x" is next to what the
// link points to, for the kernel as for SQLite.
func absolute(path string) (string, error) {
	if runtime.GOOS == "windows" {
		return filepath.Abs(path)
	}
	if filepath.IsAbs(path) {
		return path, nil
	}
	wd, err := os.Getwd()
	return wd + string(filepath.Separator) + path, err
}

// Sidecars returns the paths of those of -wal, -shm and -journal that exist
// next to the file that path resolves to, in that order; none for a dangling link.
func Sidecars(path string) ([]string, error) {
	real, err := Resolve(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, suffix := range sqlitefile.Suffixes() {
		switch _, err := os.Lstat(real + suffix); {
		case err == nil:
			found = append(found, real+suffix)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return found, nil
}
