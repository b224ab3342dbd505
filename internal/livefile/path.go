package livefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks is where a chain of symbolic links is called a loop; SQLite's own limit is 200.
const maxLinks = 100

// Resolve returns the absolute path of the file that path names, free of
// symbolic links, as SQLite resolves it: -wal, -shm and -journal live beside the
// real file, not beside the link. The file itself may be missing (also as the
// target of a link), its directory may not.
func Resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", path, err)
	}
	for range maxLinks {
		dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", path, err)
		}
		abs = filepath.Join(dir, filepath.Base(abs))
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
			target = filepath.Join(dir, target)
		}
		abs = target
	}
	return "", fmt.Errorf("resolve %s: more than %d symbolic links", path, maxLinks)
}

// Sidecars returns the paths of those of -wal, -shm and -journal that exist
// beside the file that path resolves to, in that order; none when path does not resolve.
func Sidecars(path string) []string {
	real, err := Resolve(path)
	if err != nil {
		return nil
	}
	var found []string
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(real + suffix); err == nil {
			found = append(found, real+suffix)
		}
	}
	return found
}
