package durable

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// If this fails, a backup starts that cannot end, or an administrator is not
// informed how much room to make.
func TestPreflight(t *testing.T) {
	dir := t.TempDir()
	if err := Preflight(filepath.Join(dir, "not", "yet", "made"), 1); err != nil {
		t.Errorf("a byte: %v", err)
	}
	free, err := FreeSpace(dir)
	if err != nil || free <= 0 {
		t.Fatalf("free space: %d, %v", free, err)
	}
	defer func(old func(string) (uint64, error)) { statFree = old }(statFree)
	statFree = func(string) (uint64, error) { return 300 << 20, nil }
	err = Preflight(dir, 1<<30)
	if !errors.Is(err, ErrNoSpace) || !IsNoSpace(err) {
		t.Fatalf("too much: %v", err)
	}
	for _, want := range []string{dir + ": 1.1 GB needed", "in addition to 4.2 MB that stay free", "315 MB free", "763 MB too little"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	for _, c := range []struct {
		free uint64
		need int64
		fits bool
	}{
		{300 << 20, 300<<20 - reserveBytes, true}, {300 << 20, 300<<20 - reserveBytes + 1, false},
		{0, 0, false}, {reserveBytes, 0, true}, {reserveBytes, -5, true}, {math.MaxUint64, math.MaxInt64 - reserveBytes, true},
		{0, math.MaxInt64, false},
	} {
		statFree = func(string) (uint64, error) { return c.free, nil }
		if err := Preflight(dir, c.need); (err == nil) != c.fits {
			t.Errorf("%d in %d: %v", c.need, c.free, err)
		}
	}
	statFree = func(string) (uint64, error) { return 0, errors.ErrUnsupported }
	if err := Preflight(dir, math.MaxInt64); err != nil {
		t.Errorf("where it is unknown: %v", err)
	}
	statFree = func(string) (uint64, error) { return 0, os.ErrPermission }
	if err := Preflight(dir, 1); !errors.Is(err, os.ErrPermission) || IsNoSpace(err) {
		t.Errorf("where it cannot be asked: %v", err)
	}
}

// If this fails, a full disk is reported as something else.
func TestIsNoSpace(t *testing.T) {
	for _, full := range diskFull {
		if !IsNoSpace(fmt.Errorf("write: %w", &os.PathError{Op: "write", Err: full})) {
			t.Errorf("%v is not seen", full)
		}
	}
	for _, other := range []error{nil, os.ErrPermission, errors.New("no space left on device")} {
		if IsNoSpace(other) {
			t.Errorf("%v is taken for a full disk", other)
		}
	}
}
