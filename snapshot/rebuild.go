package snapshot

import (
	"context"
	"fmt"

	"example.com/snapd/catalog"
)

// Rebuild makes the catalog anew from the archives in the backup directory and
// returns what it found. All backups are unverified afterwards, until Verify
// proves them; sequence numbers go on. Errors: [ErrBusy], [ErrVersion].
func (m *Manager) Rebuild(ctx context.Context) (catalog.Changes, error) {
	unlock, err := m.operate(ctx, "rebuild")
	if err != nil {
		return catalog.Changes{}, m.failed(ctx, "rebuild", "", explain(err))
	}
	defer unlock()
	m.begun(ctx, "rebuild", "")
	ch, err := m.cat.Rebuild(ctx)
	if err != nil {
		return ch, m.failed(ctx, "rebuild", "", explain(fmt.Errorf("rebuild: %w", err)))
	}
	m.reportChanges(ctx, ch)
	m.ended(ctx, "rebuild", fmt.Sprintf("catalog rebuilt from %d archives", len(ch.Added)))
	return ch, nil
}
