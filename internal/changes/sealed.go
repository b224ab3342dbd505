package changes

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	ext        = ".chg.zst"
	nameLayout = "20060102_150405"
)

// Sealed is a sealed segment, as its name says. Nothing writes to it again; thinning, or joining it with its
// neighbours, replaces it by another one and removes it.
type Sealed struct {
	Name        string
	First, Last uint64    // captures
	At          time.Time // of the last one, in seconds, UTC
}

// SealedIn lists the sealed segments in the directory of a timeline, in order. Segments whose captures a wider
// one has, which is what a crash leaves, are not listed. Errors: fs.ErrNotExist, ErrDamaged where two overlap.
func SealedIn(dir string) ([]Sealed, error) {
	all, err := sealedIn(dir)
	if err != nil {
		return nil, fmt.Errorf("list the change log: %w", err)
	}
	return widest(all)
}

// ParseSealed reads the name of a sealed segment; ok is false for other names.
func ParseSealed(name string) (s Sealed, ok bool) {
	base, is := strings.CutSuffix(name, ext)
	span, at, both := strings.Cut(base, "_")
	if n, err := fmt.Sscanf(span, "%d-%d", &s.First, &s.Last); !is || !both || n != 2 || err != nil || s.First == 0 || s.Last < s.First {
		return Sealed{}, false
	}
	var err error
	s.At, err = time.Parse(nameLayout, at)
	s.Name = name
	return s, err == nil && sealedName(s.First, s.Last, s.At) == name
}

// sealedName is the name of a segment whose last capture is of a time.
func sealedName(first, last uint64, at time.Time) string {
	return fmt.Sprintf("%09d-%09d_%s%s", first, last, at.UTC().Format(nameLayout), ext)
}

// sealedIn lists all sealed segments, in order of their first captures, the wider one first.
func sealedIn(dir string) (list []Sealed, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if s, ok := ParseSealed(e.Name()); ok && e.Type().IsRegular() {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Sealed) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last))
	})
	return list, nil
}

// widest leaves out segments whose captures another one has.
func widest(all []Sealed) (kept []Sealed, err error) {
	var last uint64
	for _, s := range all {
		switch {
		case s.Last <= last:
			continue
		case s.First <= last:
			return nil, fmt.Errorf("%w: %s overlaps the segment before it", ErrDamaged, s.Name)
		}
		kept, last = append(kept, s), s.Last
	}
	return kept, nil
}

// path is where a segment of the log is.
func (l *Log) path(s Sealed) string { return filepath.Join(l.dir, s.Name) }
