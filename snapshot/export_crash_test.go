package snapshot

import (
	"context"
	"testing"

	"example.com/snapd/internal/pages"
)

// SetCrashPoint has reach called at every point between two irreversible steps.
func SetCrashPoint(reach func(name string)) { crashPoint = reach }

// SetCommit has a restore commit by fn until the test ends.
func SetCommit(t *testing.T, fn func(*pages.WriteTx, context.Context) error) {
	was := commit
	commit = fn
	t.Cleanup(func() { commit = was })
}

// Look looks for a break as a Run does.
func Look(m *Manager) (due bool) {
	return new(breakWatch).look(context.Background(), m, m.now())
}
