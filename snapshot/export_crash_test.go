package snapshot

import (
	"context"
	"testing"

	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/restore"
)

// SetCrashPoint has reach called at every point between two irreversible steps.
func SetCrashPoint(reach func(name string)) { crashPoint = reach }

// SetCommit has a restore commit by fn until the test ends.
func SetCommit(t *testing.T, fn func(*pages.WriteTx, context.Context) error) {
	was := restore.Commit
	restore.Commit = fn
	t.Cleanup(func() { restore.Commit = was })
}

// Look looks for a break as a Run does.
func Look(m *Manager) (due bool) {
	return new(breakWatch).look(context.Background(), m, m.now())
}

// UpdateEntry changes a backup's entry in the catalog.
func UpdateEntry(m *Manager, id string, change func(*Backup)) error {
	return m.cat.Update(context.Background(), func(tx *catalogfile.Tx) error {
		e, err := tx.Get(id)
		if err != nil {
			return err
		}
		change(&e)
		return tx.Put(e)
	})
}
