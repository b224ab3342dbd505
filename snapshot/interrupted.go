package snapshot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/livedb"
)

// errInterrupted ends an operation whose process ended before it.
var errInterrupted = errors.New("interrupted")

// endInterrupted writes the end of the operation that the log has a start of and no
// end: its process is gone, for the caller holds the operation lock, and has brought
// to an end what that operation left half done. There is one at most: operations that
// hold the lock follow each other.
func (m *Manager) endInterrupted(ctx context.Context) {
	op, ok, err := m.act.Unended(string(OpCheck)) // which takes no lock
	if err != nil || !ok {
		return // that the log is in a bad way, the next one who writes to it reports
	}
	end, known := m.endOf(op)
	if !known {
		return
	}
	end.Operation, end.Trigger, end.Backup = Operation(op.Kind), op.Trigger, cmp.Or(end.Backup, op.Backup)
	end.mark.Line, end.mark.Began = activity.Ended, &op.Started
	ctx = context.WithValue(WithCaller(ctx, Caller{Who: op.Who, Run: op.ID}), operationKey{}, (*operation)(nil))
	m.ev.emit(ctx, end)
}

// endOf finds out how op ended: what it was to do may be done all the same. known is
// false while nothing can be said.
func (m *Manager) endOf(op OperationRecord) (end Event, known bool) {
	state, err := m.cat.State()
	if err != nil || state.Restoring != nil {
		return end, false // the next operation finds out
	}
	all, err := m.cat.Entries()
	if err != nil {
		return end, false
	}
	result, done := m.resultOf(op, state, all)
	if !done {
		return m.interruptedEvent(op, all), true
	}
	end = Event{Type: EventDone, Message: op.Kind + " was done when the program ended"}
	if b, ok := result.(Backup); ok {
		end.Backup = b.ID
		end.more = Activity{DatabaseBytes: b.DatabaseBytes, ArchiveBytes: b.ArchiveBytes}
	}
	end.more.Detail = "done, although the program ended before it could say so"
	end.mark.Result, err = json.Marshal(result)
	return end, err == nil
}

// resultOf is what the catalog has of op's work; done is false for nothing.
func (m *Manager) resultOf(op OperationRecord, state State, all []Backup) (result any, done bool) {
	i := slices.IndexFunc(all, func(b Backup) bool { return b.ID == op.Backup })
	last := state.LastRestore
	switch Operation(op.Kind) {
	case OpBackup:
		if b, ok := madeBy(op, all, Trigger(op.Trigger)); ok {
			return b.Public(), true
		}
	case OpVerify:
		if i >= 0 && all[i].Usable() && all[i].Verification.At != nil && !all[i].Verification.At.Before(op.Started) {
			return all[i].Public(), true
		}
	case OpDrill:
		if d := state.LastDrill; d != nil && d.ID == op.Backup && !d.At.Before(op.Started) && d.Verdict != string(integrity.Corrupt) {
			return *d, true
		}
	case OpRecover:
		return nil, last != nil && !last.At.Before(op.Started)
	case OpRestore:
		if last == nil || last.ID != op.Backup || last.At.Before(op.Started) {
			return nil, false
		}
		// By which method it was made is not known any more.
		r := RestoreResult{Restored: last.ID, To: m.cfg.Database, DurationMS: last.DurationMS}
		if last.Safety != "" {
			r.SafetyBackup = &last.Safety
		}
		return r, true
	}
	return nil, false
}

// madeBy returns the oldest backup of that trigger that was made since op began.
func madeBy(op OperationRecord, all []Backup, trigger Trigger) (b Backup, ok bool) {
	for _, b := range slices.Backward(all) {
		if b.Trigger == trigger && !b.CreatedAt.Before(op.Started) {
			return b, true
		}
	}
	return b, false
}

// interruptedEvent is the end of an operation whose work is not done.
func (m *Manager) interruptedEvent(op OperationRecord, all []Backup) Event {
	message, advice := interruption(op.Kind)
	if saved, ok := madeBy(op, all, TriggerPreRestore); ok {
		if fingerprint, err := livedb.TakeFingerprint(m.cfg.Database); err == nil && originOf(saved).Unchanged(fingerprint) {
			message, advice = "the program ended during this restore, before it took effect", "the database is as it was before; restore again"
		} else {
			advice += "; what it held before is in " + saved.ID
		}
	}
	return Event{Type: EventFailed, Err: hint(&sentinelError{errInterrupted, errors.New(message)}, advice),
		Message: op.Kind + " was interrupted: the program ended"}
}

// interruption says of an interrupted operation what is known when nothing is.
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

// withReason adds to an operation without an end what that means.
func withReason(op OperationRecord) OperationRecord {
	if op.Outcome == activity.Interrupted {
		op.Code = Code(errInterrupted)
		op.Detail, op.Hint = interruption(op.Kind)
	}
	return op
}
