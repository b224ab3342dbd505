package changes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/durable"
)

// If this fails, a capture that counts is gone when the power goes, or a segment has its name and not its end.
func TestSyncedBeforeItCounts(t *testing.T) {
	dir := t.TempDir()
	l, h := open(t, dir, 512), newHistory(t, 512)
	file, on := filepath.Join(dir, openName), int64(-1) // how much of it is on the disk
	size := func() int64 {
		fi, err := os.Stat(file)
		if err != nil {
			t.Error(err)
			return -1
		}
		return fi.Size()
	}
	named := false
	stop := durable.Observe(&durable.Observer{
		Before: func(s durable.Step, at string) {
			if s == durable.StepRename && strings.HasPrefix(at, dir) && strings.HasSuffix(at, ext) {
				if named = true; on != size() {
					t.Errorf("%d bytes are synced of a segment of %d that is sealed", on, size())
				}
			}
		},
		Synced: func(s durable.Step, at string) {
			if s == durable.StepSync && at == file {
				on = size()
			}
		},
	})
	defer stop()
	for range 3 {
		h.append(l, 5)
		if on != size() {
			t.Errorf("%d bytes are synced of %d with a capture that counts", on, size())
		}
	}
	if err := l.Seal(); err != nil || !named {
		t.Errorf("sealed %v: %v", named, err)
	}
}
