package changes

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Lost: the captures after a damaged index, which thinning took for the end of a sealed segment and removed; and that there is
// damage, where reading them said that there is no such capture.
func TestASealedSegmentHasAllThatItsNameSays(t *testing.T) {
	t.Parallel()
	const captures = 5
	dir := filepath.Join(t.TempDir(), "1")
	h, l := newHistory(t, 512), open(t, dir, 512)
	for range 2 {
		for range captures {
			h.append(l, 5)
		}
		if err := l.Seal(); err != nil {
			t.Fatal(err)
		}
	}
	sealed := l.sealed
	var parts []captured
	if err := l.with(sealed[0], func(s *segment) (err error) { parts, _, err = s.captures(); return err }); err != nil {
		t.Fatal(err)
	}
	l.Close()
	path := l.path(sealed[0])
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n, damaged := range parts {
		b := bytes.Clone(whole)
		b[damaged.begin+20] ^= 1
		if err := os.WriteFile(path, b, fileMode); err != nil {
			t.Fatal(err)
		}
		before := files(t, dir)
		l := open(t, dir, 512)
		for i, c := range h.captures {
			m, err := l.Map(t.Context(), 0, c.Seq)
			if i < n && err != nil || i >= n && !errors.Is(err, ErrDamaged) {
				t.Errorf("damage in capture %d: capture %d can be read: %v", n, i, err)
			}
			if err == nil {
				m.Close()
			}
		}
		if err := l.Thin(t.Context(), Thinning{Before: later, Keep: none}); !errors.Is(err, ErrDamaged) {
			t.Errorf("damage in capture %d: thinned: %v", n, err)
		}
		if !maps.EqualFunc(before, files(t, dir), bytes.Equal) {
			t.Fatalf("damage in capture %d: thinning changed the log", n)
		}
		l.Close()
	}
	if err := os.WriteFile(path, whole[:parts[2].begin], fileMode); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(l.path(sealed[1])); err != nil {
		t.Fatal(err)
	}
	if c, ok, err := open(t, dir, 512).Last(); !errors.Is(err, ErrDamaged) {
		t.Errorf("the last capture of a segment that was cut short: %d, %v, %v", c.Seq, ok, err)
	}
}
