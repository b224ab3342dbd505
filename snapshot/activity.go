package snapshot

import (
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/catalogfile"
)

// Activity is an entry of the log of what was done, by whom and how it ended.
//
// Action is backup, verify, drill, restore, recover, repair, check, delete, prune,
// pin, unpin, note, rebuild or serve, or one of a caller of [Manager.Record]. Outcome
// is done, failed, refused, cancelled or unchanged, and for serve started or stopped.
type Activity = activity.Entry

// State is what the catalog remembers beside the backups.
type State = catalog.State

// ErrCursor: a cursor that no call has given out.
var ErrCursor = catalogfile.ErrCursor

// Activity returns up to limit entries of the log, the newest first, from cursor on;
// "" is the beginning. next is "" after the oldest entry that there is; old ones are
// removed in time. Errors: [ErrCursor], [ErrRefused].
func (m *Manager) Activity(cursor string, limit int) (page []Activity, next string, err error) {
	page, next, err = m.act.log.Page(cursor, limit)
	if errors.Is(err, activity.ErrCursor) {
		return nil, "", fmt.Errorf("activity: %w: %.80q; start again without one", ErrCursor, cursor)
	}
	return page, next, explain(err)
}

// Record adds an entry to the log. Its At, where that is zero, is the present time.
// What cannot be recorded is a warning event, and not the caller's problem.
func (m *Manager) Record(a Activity) { m.enter(a) }

// Revision returns a word that changes whenever the catalog or the activity log
// did, by whatever process. It looks at the files' attributes only.
func (m *Manager) Revision() (string, error) {
	backups, err := m.cat.Revision()
	if err != nil {
		return "", fmt.Errorf("revision: %w", err)
	}
	done, err := m.act.log.Revision()
	if err != nil {
		return "", fmt.Errorf("revision: %w", err)
	}
	return backups + "." + done, nil
}
