package snapshot

import (
	"context"
	"fmt"
)

// Rebuild makes the catalog again from the archives in the backup directory and
// returns what it found. All backups are unverified afterwards, until Verify
// proves them; sequence numbers go on. Errors: [ErrBusy], [ErrVersion].
func (m *Manager) Rebuild(ctx context.Context) (Changes, error) {
	var ch Changes
	err := m.perform(ctx, &operation{kind: OpRebuild}, func(ctx context.Context) (_ Event, err error) {
		m.start(ctx, "")
		if ch, err = m.cat.Rebuild(ctx); err != nil {
			return Event{}, fmt.Errorf("rebuild: %w", err)
		}
		m.reportChanges(ctx, ch)
		message := fmt.Sprintf("catalog rebuilt from %d archives", len(ch.Added))
		return Event{Type: EventDone, Message: message, more: Activity{Detail: message}}, nil
	})
	return ch, err
}
