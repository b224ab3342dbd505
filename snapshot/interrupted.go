package snapshot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/rowsback"
)

// endInterrupted writes the end of the operation that has a start in the log and no
// end. Its process is gone, for the caller holds the operation lock, and has already
// finished or undone what that operation left. There is one at most: operations that
// hold the lock follow each other.
func (m *Manager) endInterrupted() {
	op, ok, err := m.act.Unended(string(OpCheck), string(OpSync)) // which take no lock
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
	case OpRestoreRows:
		return i.rows()
	}
	return nil, false
}

// rows is what bringing rows back came to.
func (i interrupted) rows() (result any, done bool) {
	last := i.state.LastRows
	if last == nil || last.ID != i.op.Backup || last.At.Before(i.op.Started) {
		return nil, false
	}
	p := rowsback.NewPlan(last.Table) // which of them are of other tables is not known any more
	p.Rows, p.Inserted, p.Replaced = last.Inserted+last.Replaced+last.Removed+last.Skipped, last.Inserted, last.Replaced
	p.Removed, p.Skipped = last.Removed, last.Skipped
	return RestoredRows{Plan: p, Applied: true, SafetyBackup: &last.Safety}, true
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
			message, advice = "the program ended during this restore, before its commit", "the database is as it was before; restore again"
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
	case OpRestoreRows:
		message = "the program ended while rows were brought back, and there is no record of a commit"
		advice = "either none of them is back or all are: look at what would be done now, and try again if need be"
	case OpRestore, OpRecover:
		message = "the program ended during this " + kind + ", and there is no record of its commit"
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
