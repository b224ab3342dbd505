//go:build !windows

package activity

import (
	"slices"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
)

// Lost if this fails: the record of an action, to a power cut right after it was
// written; or all older ones, to one while the log is rotated.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	l := New(dir)
	l.max = 300 // bytes: a few entries
	const entries = 10
	for n := range entries {
		model := testdb.WatchPowerLoss(t, dir, "no intent", func(string) bool { return false })
		appendAll(t, l, n, n+1)
		for _, image := range model.End() {
			left := all(t, New(image.Dir), 100)
			now := all(t, l, 100) // the newest first
			if strings.HasPrefix(image.Where, "done") && !slices.Equal(left, now) {
				t.Errorf("entry %d, %s: %q is left, want %q", n, image.Where, left, now)
			}
			for _, kept := range now[1:] {
				if !slices.Contains(left, kept) {
					t.Errorf("entry %d, %s: entry %s is gone", n, image.Where, kept)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	if now := all(t, l, 100); len(now) == entries || len(now) < 3 {
		t.Errorf("%d entries: the log was to be rotated", len(now))
	}
}
