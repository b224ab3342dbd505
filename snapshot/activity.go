package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/catalogfile"
)

// Activity is an entry of the log of what was done, by whom and how it ended.
//
// Action is backup, verify, drill, restore, recover, repair, check, delete, prune,
// pin, unpin, note, rebuild, accept, break, notify, remote, sync or serve, or one of a caller of [Manager.Record]. Outcome
// is done, failed, refused, cancelled or unchanged, for serve started or stopped, and for a break noticed or over.
type Activity = activity.Entry

// OperationRecord is what the log says of one operation. Outcome is that of its
// [Activity], or running, or interrupted: its process ended before it.
type OperationRecord = activity.Operation

// State is what the catalog remembers in addition to the backups.
type State = catalog.State

// ErrCursor: a cursor that no call has given out.
var ErrCursor = catalogfile.ErrCursor

// Activity returns up to limit entries of the log, the newest first, from cursor on;
// "" is the beginning. next is "" after the oldest entry that there is; old ones are
// removed in time. Errors: [ErrCursor], [ErrRefused].
func (m *Manager) Activity(cursor string, limit int) (page []Activity, next string, err error) {
	page, next, err = m.act.Log().Page(cursor, limit)
	if errors.Is(err, activity.ErrCursor) {
		return nil, "", fmt.Errorf("activity: %w: %.80q; start again without one", ErrCursor, cursor)
	}
	return page, next, explain(err)
}

// Operation returns what the log says of the operation with that id, which is the Run
// of its events; any process may have run it. Errors: [ErrNotFound], [ErrRefused].
func (m *Manager) Operation(id string) (OperationRecord, error) {
	op, ok, err := m.act.Operation(id)
	if err != nil {
		return op, explain(err)
	}
	if !ok {
		return op, hint(fmt.Errorf("operation %.80q: %w", id, ErrNotFound), "old ones are removed from the log in time")
	}
	return withReason(op), nil
}

// Operations returns the last operations of these kinds that the log has, of
// every process, at most limit; those that ended last come first. Errors: [ErrRefused].
func (m *Manager) Operations(kinds []Operation, limit int) ([]OperationRecord, error) {
	words := make([]string, 0, len(kinds))
	for _, k := range kinds {
		words = append(words, string(k))
	}
	all, err := m.act.Operations(words, limit)
	for i := range all {
		all[i] = withReason(all[i])
	}
	return all, explain(err)
}

// Record adds an entry to the log. Its At, where that is zero, is the present time.
// What cannot be recorded is a warning event, and not the caller's problem.
func (m *Manager) Record(a Activity) { m.record(activity.Record{Entry: a}) }

func (m *Manager) record(r activity.Record) {
	if r.At.IsZero() {
		r.At = m.now()
	}
	r.Who = cmp.Or(r.Who, activity.Automatic)
	if err := m.act.Write(r); err != nil {
		m.ev.emit(context.Background(), Event{Type: EventWarning, Err: explain(err), Message: "the activity log could not be written"})
	}
}

// recordEvent writes what ev says into the log.
func (m *Manager) recordEvent(ev Event) {
	r, ok := recordOf(ev)
	if !ok {
		return
	}
	if ev.Type == EventUnchanged && ev.Who == "" && !ev.begun {
		r.Who = activity.Automatic
		m.act.Idle(r.Entry)
		return
	}
	m.record(r)
}

// recordOf is how an event is recorded in the log; ok is false for what is not.
func recordOf(ev Event) (a activity.Record, ok bool) {
	a = activity.Record{Entry: ev.more, Mark: ev.mark}
	a.At, a.Who, a.Operation = ev.At, ev.Who, ev.Run
	a.Action, a.Outcome = cmp.Or(a.Action, string(ev.Operation)), cmp.Or(a.Outcome, "done")
	a.Backup, a.Trigger, a.Remote = ev.Backup, ev.Trigger, ev.Remote
	switch ev.Type {
	case EventBackedUp, EventRemoved:
	case EventBreak, EventReceiver, EventRemote:
	case EventStored:
		if ev.Backup == "" {
			return activity.Record{}, false
		}
	case EventChainGap:
		if !ev.loud {
			return activity.Record{}, false
		}
	case EventVerified, EventDrilled, EventChecked, EventRestored, EventQuarantined, EventRepaired, EventRestoreReset:
		a.Detail = cmp.Or(a.Detail, ev.Message)
	case EventUnchanged:
		a.Outcome = "unchanged"
	case EventStarted:
		a.Outcome, a.Quiet = activity.Running, true
	case EventDone:
		switch ev.Operation {
		case OpPrune, OpDelete, OpRecover:
			a.Quiet = a.Detail == "" // the entries of its steps say what was done
		}
	case EventFailed:
		a.Outcome, a.Code, a.Hint = outcomeOf(ev.Err), Code(ev.Err), Hint(ev.Err)
		a.Detail = cmp.Or(a.Detail, ev.Err.Error())
	default:
		return activity.Record{}, false
	}
	return a, true
}

// outcomeOf is how an operation ended that returned err.
func outcomeOf(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, ErrRefused), errors.Is(err, ErrStale):
		return "refused"
	}
	return "failed"
}

// Revision returns a word that changes whenever the catalog or the activity log
// changes, whichever process wrote it. It looks at the files' attributes only.
func (m *Manager) Revision() (string, error) {
	backups, err := m.cat.Revision()
	if err != nil {
		return "", fmt.Errorf("revision: %w", err)
	}
	done, err := m.act.Log().Revision()
	if err != nil {
		return "", fmt.Errorf("revision: %w", err)
	}
	return backups + "." + done, nil
}
