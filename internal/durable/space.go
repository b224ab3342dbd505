package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/dustin/go-humanize"
)

// ErrNoSpace says that a disk has not enough free space.
var ErrNoSpace = errors.New("not enough free space")

// reserveBytes is left free beyond what a job needs, for the catalog, the
// journal of the filesystem, and other programs that write there.
const reserveBytes = 4 << 20

// statFree is freeSpace, replaced in tests.
var statFree = freeSpace

// FreeSpace is the number of bytes that this user may still write in dir. For
// a dir that does not exist yet, of the nearest existing parent. Quotas
// are not seen. Where the system does not report it, errors.ErrUnsupported.
func FreeSpace(dir string) (int64, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	for {
		free, err := statFree(abs)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(abs) != abs {
			abs = filepath.Dir(abs)
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("free space of %s: %w", dir, err)
		}
		return int64(min(free, math.MaxInt64)), nil
	}
}

// A SpaceError says how much room a job needs, where, and how much there is. It is ErrNoSpace.
type SpaceError struct {
	Dir     string
	Need    int64
	Reserve int64 // that is to stay free
	Free    int64
}

func (e *SpaceError) Error() string {
	stay, short := "", e.Need-(e.Free-e.Reserve)
	if e.Reserve > 0 {
		stay = fmt.Sprintf(" in addition to %s that stay free", humanize.Bytes(uint64(e.Reserve)))
	}
	if short < 0 {
		short = math.MaxInt64 // need is within the reserve of the largest number
	}
	return fmt.Sprintf("%s in %s: %s needed%s, %s free: %s too little", ErrNoSpace, e.Dir,
		humanize.Bytes(uint64(e.Need)), stay, humanize.Bytes(uint64(e.Free)), humanize.Bytes(uint64(short)))
}

// Is makes errors.Is(err, ErrNoSpace) true.
func (e *SpaceError) Is(target error) bool { return target == ErrNoSpace }

// Preflight is nil when dir has room for need more bytes and a small reserve, and a
// *SpaceError when it has not. Where free space is unknown it is nil: the write itself
// will fail.
func Preflight(dir string, need int64) error { return preflight(dir, need, reserveBytes) }

// Fits is Preflight without the reserve: for what brings a database back, or looks at
// one, on a disk that is nearly full.
func Fits(dir string, need int64) error { return preflight(dir, need, 0) }

func preflight(dir string, need, reserve int64) error {
	free, err := FreeSpace(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	need = max(need, 0)
	if free >= reserve && free-reserve >= need {
		return nil
	}
	return &SpaceError{Dir: dir, Need: need, Reserve: reserve, Free: free}
}

// WhereFull returns the directory or file for which err found no space, "" where it does not say.
func WhereFull(err error) string {
	var short *SpaceError
	if errors.As(err, &short) {
		return short.Dir
	}
	var path *fs.PathError
	if errors.As(err, &path) && IsNoSpace(err) {
		return filepath.Dir(path.Path)
	}
	return ""
}

// IsNoSpace reports whether err is a full disk, an exhausted quota, or ErrNoSpace.
func IsNoSpace(err error) bool {
	if errors.Is(err, ErrNoSpace) {
		return true
	}
	for _, full := range diskFull {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}
