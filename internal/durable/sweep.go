package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// randomDigits is the length of the random part of a temporary name.
	randomDigits = 16
	// maxStem keeps temporary names within the usual 255 bytes of a file name,
	// sidecar suffixes included, for every legal target name.
	maxStem = 200
)

// sidecars are the files that SQLite puts next to a scratch database.
var sidecars = []string{"-wal", "-shm", "-journal"}

// TempName is a new name like those that Create gives, for a target with the base name base.
func TempName(base string) string { return tempName(base) }

func tempName(base string) string {
	var b [randomDigits / 2]byte
	rand.Read(b[:]) // never fails, by its documentation
	return TempPrefix + stem(base) + "-" + hex.EncodeToString(b[:])
}

// stem is the part of base that fits into a temporary name.
func stem(base string) string {
	if len(base) <= maxStem {
		return base
	}
	return strings.ToValidUTF8(base[:maxStem], "")
}

// Sweep removes the leftovers of crashed runs from dir and returns their names.
// Only regular files go: a symbolic link or directory of such a name was not
// left by a crash, and is neither followed nor removed. A file that
// this process or another still works on stays; where that is unknown (Windows
// refuses to remove it anyway) the caller holds the lock that keeps others from
// working in dir. A missing dir is empty. On an error the rest is still swept. What a
// loss of power brings back the next Sweep removes: nothing is synced.
func Sweep(dir string) (removed []string, err error) {
	return sweep(dir, func(name string) bool { return strings.HasPrefix(name, TempPrefix) })
}

// left is how old a temporary file in a shared directory must be to be a leftover: no
// lock keeps others from making theirs this moment.
const left = time.Hour

// SweepShared is Sweep in the system's directory for temporary files, where others
// leave theirs too: what may not be looked at or removed is not ours to sweep.
func SweepShared() (removed []string) {
	dir := os.TempDir()
	removed, _ = sweep(dir, func(name string) bool {
		if !strings.HasPrefix(name, TempPrefix) {
			return false
		}
		fi, err := os.Lstat(filepath.Join(dir, name))
		return err == nil && time.Since(fi.ModTime()) > left
	})
	return removed
}

// SweepFor is Sweep in a directory that belongs to others: only files
// that were made for targets with the base name base, and match the form of
// our names exactly, are removed.
func SweepFor(dir, base string) (removed []string, err error) {
	return sweep(dir, func(name string) bool { return IsTempFor(name, base) })
}

// IsTempFor reports whether name is one that Create gives the temp file of a
// target with the base name base, or a sidecar's of that.
func IsTempFor(name, base string) bool {
	rest, ok := strings.CutPrefix(name, TempPrefix+stem(base)+"-")
	if !ok {
		return false
	}
	for _, s := range sidecars {
		rest = strings.TrimSuffix(rest, s)
	}
	if len(rest) != randomDigits {
		return false
	}
	return strings.Trim(rest, "0123456789abcdef") == ""
}

// inUse reports whether a process works on the temporary file, or on the one that
// name is a sidecar of.
func inUse(dir, name string) bool {
	for _, s := range sidecars {
		name = strings.TrimSuffix(name, s)
	}
	return isAlive(filepath.Join(dir, name))
}

func sweep(dir string, ours func(name string) bool) (removed []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweep leftovers: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !ours(e.Name()) || !e.Type().IsRegular() || inUse(dir, e.Name()) {
			continue
		}
		err := os.Remove(filepath.Join(dir, e.Name()))
		switch {
		case err == nil:
			removed = append(removed, e.Name())
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("sweep leftovers: %w", err))
		}
	}
	return removed, errors.Join(errs...)
}

// Reopen opens the largest temporary file for target that a process left which is gone, so that its work can go on: whatever is in it has
// to be proven. Files of other users, or that others can read, are not taken. fs.ErrNotExist: there is none.
func Reopen(target string) (*File, error) {
	dir, base := filepath.Split(target)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, fmt.Errorf("look for what was begun of %s: %w", target, err)
	}
	var found *os.File
	var bytes int64
	for _, e := range entries {
		if !IsTempFor(e.Name(), base) || slices.ContainsFunc(sidecars, func(s string) bool { return strings.HasSuffix(e.Name(), s) }) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := OpenRegular(path, os.O_RDWR, 0)
		if err != nil {
			continue // another's, or gone
		}
		now, err := os.Lstat(path)
		fi, errOpen := f.Stat()
		if !takeOver(f) || err != nil || errOpen != nil || !os.SameFile(now, fi) || found != nil && fi.Size() <= bytes {
			_ = f.Close()
			continue
		}
		if found != nil {
			_ = found.Close()
		}
		found, bytes = f, fi.Size()
	}
	if found == nil {
		return nil, fmt.Errorf("look for what was begun of %s: %w", target, fs.ErrNotExist)
	}
	return &File{target: target, f: found}, nil
}
