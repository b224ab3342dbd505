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

// Preflight is nil when dir has room for need more bytes and a small reserve,
// and an error that is ErrNoSpace and carries the numbers when it has not.
// Where free space is unknown it is nil: the write itself will fail.
func Preflight(dir string, need int64) error {
	free, err := FreeSpace(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	need = max(need, 0)
	if free >= reserveBytes && free-reserveBytes >= need {
		return nil
	}
	short := need - (free - reserveBytes)
	if short < 0 {
		short = math.MaxInt64 // need is within the reserve of the largest number
	}
	return fmt.Errorf("%w in %s: %s needed in addition to %s that stay free, %s free: %s too little",
		ErrNoSpace, dir, humanize.Bytes(uint64(need)), humanize.Bytes(reserveBytes), humanize.Bytes(uint64(free)),
		humanize.Bytes(uint64(short)))
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
