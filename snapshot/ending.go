package snapshot

import (
	"context"
	"errors"
)

// Ends reports whether ev is the end of the operation that it names, well or not:
// every call of the Manager that does something has exactly one such event, and one
// started event before it at most, none where it failed before it began (somebody
// held the lock, there is no such backup). What an operation does on its way has
// other names in Operation: a restore makes a backup, a recovery a check.
func (ev Event) Ends() bool {
	switch ev.Type {
	case EventFailed, EventDone, EventChecked, EventBackedUp, EventUnchanged, EventVerified, EventDrilled, EventRestored, EventRepaired:
		return true
	}
	return false
}

// begun tells that an operation has what it needs, and begins; id may be "".
func (m *Manager) begun(ctx context.Context, op, id string) {
	m.ev.emit(ctx, Event{Type: EventStarted, Operation: op, Backup: id})
}

// failedOn is failed for an operation on the backup id, which may be "".
func (m *Manager) failedOn(ctx context.Context, op, id string, err error) error {
	message := op + " failed"
	if errors.Is(err, context.Canceled) {
		message = op + " was interrupted; nothing was changed"
	}
	m.ev.emit(ctx, Event{Type: EventFailed, Operation: op, Backup: id, Err: err, Message: message})
	return err
}

// ended tells that an operation without an event of its own for that ended well.
func (m *Manager) ended(ctx context.Context, op, message string) {
	m.ev.emit(ctx, Event{Type: EventDone, Operation: op, Message: message, more: Activity{Detail: message}})
}
