package snapshot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/protection"
)

// Activity is an entry of the log of what was done, by whom and how it ended.
//
// Action is backup, verify, drill, restore, recover, repair, check, delete, prune,
// pin, unpin, note, rebuild, accept, break or serve, or one of a caller of [Manager.Record]. Outcome
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
	a.Backup, a.Trigger = ev.Backup, ev.Trigger
	switch ev.Type {
	case EventBackedUp, EventRemoved:
	case EventBreak:
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

// Day is one day, in UTC, of the protection's history.
type Day = activity.Day

// DayState is what became of one day's protection.
type DayState = activity.DayState

// The states of a day.
const (
	DayOK, DayUnchanged, DayFailed = activity.DayOK, activity.DayUnchanged, activity.DayFailed
	DayOverdue, DayNone            = activity.DayOverdue, activity.DayNone
)

// maxHistory is the most days that History looks back.
const maxHistory = 366

// History returns the last days, the oldest first and today last, at most 366.
func (m *Manager) History(days int) ([]Day, error) {
	days = min(max(days, 1), maxHistory)
	f, err := historyFacts(m)
	if err != nil {
		return nil, fmt.Errorf("history: %w", explain(err))
	}
	all, err := m.act.History(days, f)
	if err != nil {
		return nil, fmt.Errorf("history: %w", explain(err))
	}
	return all, nil
}

// historyFacts is what the days are judged by, as it is now.
func historyFacts(m *Manager) (activity.Facts, error) {
	f := activity.Facts{Now: m.now(), Slack: protection.Grace + m.present.Load().Jitter}
	var err error
	if f.Revision, err = m.cat.Revision(); err != nil { // before reading: what comes meanwhile is then read again
		return f, err
	}
	backups, state, err := m.cat.Read()
	if err != nil {
		return f, err
	}
	f.Schedule = m.present.Load().promised(state)
	if _, f.Serving, err = m.cat.ServeRunning(); err != nil {
		return f, err
	}
	if fingerprint, err := livedb.TakeFingerprint(m.cfg.Database); err == nil { // else it is not known to be covered
		if b, ok := m.covering(fingerprint); ok {
			f.Covered = b.ID
		}
	}
	for _, b := range backups {
		if b.Verification.State != catalog.Failed {
			f.Stored = append(f.Stored, activity.Stored{ID: b.ID, CreatedAt: b.CreatedAt, DatabaseBytes: b.DatabaseBytes, ArchiveBytes: b.ArchiveBytes})
		}
	}
	return f, nil
}

// endInterrupted writes the end of the operation that has a start in the log and no
// end. Its process is gone, for the caller holds the operation lock, and has already
// finished or undone what that operation left. There is one at most: operations that
// hold the lock follow each other.
func (m *Manager) endInterrupted() {
	op, ok, err := m.act.Unended(string(OpCheck)) // which takes no lock
	if err != nil || !ok {
		return // a log that cannot be read is reported when it is written
	}
	backups, state, err := m.cat.Read()
	if err != nil || state.Restoring != nil {
		return // whether that restore was committed is not known yet
	}
	i := interrupted{op, m.cfg.Database, state, backups}
	end := i.end()
	end.Operation, end.Trigger, end.Backup = Operation(op.Kind), op.Trigger, cmp.Or(end.Backup, op.Backup)
	end.mark.Line, end.mark.Began = activity.Ended, &op.Started
	// In the name of its caller, and not as an event of the operation that comes now.
	m.ev.emit(WithCaller(context.Background(), Caller{Who: op.Who, Run: op.ID}), end)
}

// interrupted is an operation without an end, and what the catalog knows since.
type interrupted struct {
	op       OperationRecord
	database string
	state    State
	backups  []Backup // the newest first
}

// end is the event that the operation ends with: what it was to do may be done all the same.
func (i interrupted) end() Event {
	result, done := i.result()
	if !done {
		return i.failed()
	}
	ev := Event{Type: EventDone, Message: i.op.Kind + " was done when the program ended",
		more: Activity{Detail: "done, although the program ended before it could say so"}}
	if b, ok := result.(Backup); ok {
		ev.Backup, ev.more.DatabaseBytes, ev.more.ArchiveBytes = b.ID, b.DatabaseBytes, b.ArchiveBytes
	}
	if raw, err := json.Marshal(result); err == nil && result != nil {
		ev.mark.Result = raw
	}
	return ev
}

// result is what the operation came to; done is false where nothing says that it was done.
func (i interrupted) result() (result any, done bool) {
	switch Operation(i.op.Kind) {
	case OpBackup:
		if b, ok := i.made(Trigger(i.op.Trigger)); ok {
			return b.Public(), true
		}
	case OpVerify:
		n := slices.IndexFunc(i.backups, func(b Backup) bool { return b.ID == i.op.Backup })
		if n < 0 || !i.backups[n].Usable() {
			return nil, false
		}
		at := i.backups[n].Verification.At
		return i.backups[n].Public(), at != nil && !at.Before(i.op.Started)
	case OpDrill:
		d := i.state.LastDrill
		if d != nil && d.ID == i.op.Backup && !d.At.Before(i.op.Started) && d.Verdict != string(integrity.Corrupt) {
			return *d, true
		}
	case OpRecover:
		return nil, i.restored()
	case OpRestore:
		if !i.restored() || i.state.LastRestore.ID != i.op.Backup {
			return nil, false
		}
		// By which method it was made is not known any more.
		r := RestoreResult{Restored: i.op.Backup, To: i.database, DurationMS: i.state.LastRestore.DurationMS}
		if safety := i.state.LastRestore.Safety; safety != "" {
			r.SafetyBackup = &safety
		}
		return r, true
	}
	return nil, false
}

// restored reports whether the database was restored since the operation began.
func (i interrupted) restored() bool {
	return i.state.LastRestore != nil && !i.state.LastRestore.At.Before(i.op.Started)
}

// made returns the oldest backup of that trigger that was made since the operation began.
func (i interrupted) made(trigger Trigger) (b Backup, ok bool) {
	for _, b := range slices.Backward(i.backups) {
		if b.Trigger == trigger && !b.CreatedAt.Before(i.op.Started) {
			return b, true
		}
	}
	return b, false
}

// failed is the end of an operation that was not done.
func (i interrupted) failed() Event {
	message, advice := interruption(i.op.Kind)
	if saved, ok := i.made(TriggerPreRestore); ok {
		if fingerprint, err := livedb.TakeFingerprint(i.database); err == nil && catalogfile.OriginOf(saved).Unchanged(fingerprint) {
			message, advice = "the program ended during this restore, before it took effect", "the database is as it was before; restore again"
		} else {
			advice += "; what it held before is in " + saved.ID
		}
	}
	return Event{Type: EventFailed, Err: hint(failure.As(failure.ErrInterrupted, errors.New(message)), advice),
		Message: i.op.Kind + " was interrupted: the program ended"}
}

// interruption describes an interrupted operation whose outcome is unknown.
func interruption(kind string) (message, advice string) {
	message, advice = "the program ended before this "+kind+" had", "start it again"
	switch Operation(kind) {
	case OpRestore, OpRecover:
		message = "the program ended during this " + kind + ", and there is no record that it took effect"
		advice = "the database is either as it was before or wholly restored: look at it, and restore again if need be"
	case OpBackup:
		advice = "no backup was kept; make a new one"
	}
	return message, advice
}

// withReason adds to an interrupted operation what that means.
func withReason(op OperationRecord) OperationRecord {
	if op.Outcome == activity.Interrupted {
		op.Code = Code(failure.ErrInterrupted)
		op.Detail, op.Hint = interruption(op.Kind)
	}
	return op
}
