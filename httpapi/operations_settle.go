package httpapi

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// settle resolves what ran when the program ended, so far as can be found out.
func (o *operations) settle(kept []operation) []operation {
	unsettled := false
	for i := range kept {
		if kept[i].State != stateRunning {
			continue
		}
		unsettled = true
		op := &kept[i]
		at := o.now()
		op.EndedAt, op.Cancellable, op.Rate, op.ETA = &at, false, nil, nil
		if !o.recorded(op) {
			if !o.found(op) {
				op.State, op.Error = stateFailed, interrupted(op.Kind)
				if op.Kind == kindRestore {
					o.effect(op)
				}
			}
			a := snapshot.Activity{Who: op.Who, Action: string(op.Kind), Operation: op.ID, Backup: deref(op.Backup), Trigger: op.Trigger, Outcome: op.State,
				Detail: "the program ended before the end of this operation was written down"}
			if op.Error != nil {
				a.Detail, a.Code = op.Error.Message, op.Error.Code
			}
			o.m.Record(a)
		}
	}
	if unsettled {
		if err := o.store.save(kept); err != nil {
			o.log.Warn("the outcome of operations could not be kept for after a restart", "error", oneLine(err.Error()))
		}
	}
	return kept
}

// interrupted says what is known when nothing is.
func interrupted(kind snapshot.Operation) *operationError {
	e := &operationError{Code: "interrupted", Message: "the program ended before this " + string(kind) + " had", Hint: "start it again"}
	switch kind {
	case kindRestore, kindRecover:
		e.Message = "the program ended during this " + string(kind) + ", and there is no record that it took effect"
		e.Hint = "the database is either as it was before or wholly restored: look at it, and restore again if need be"
	case kindBackup:
		e.Hint = "no backup was kept; make a new one"
	}
	return e
}

// effect says of an interrupted restore what can be proven: the state that it saved
// first is still the database's, or where that state is.
func (o *operations) effect(op *operation) {
	saved, ok := o.madeBy(op.StartedAt, catalog.TriggerPreRestore)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	if plan, err := o.m.PlanRestore(ctx, saved.ID); err == nil && plan.LosesSince == nil {
		op.Error.Message = "the program ended during this restore, before it took effect"
		op.Error.Hint = "the database is as it was before; restore again"
		return
	}
	op.Error.Hint += "; what it held before is in " + saved.ID
}

// settleLook is how far back the activity log is searched for an outcome, in entries.
const settleLook = 200

// recorded takes the outcome from the activity log, which is written before ours.
func (o *operations) recorded(op *operation) bool {
	page, _, err := o.m.Activity("", settleLook)
	if err != nil {
		o.log.Warn("read the activity log", "error", oneLine(err.Error()))
		return false
	}
	for _, a := range slices.Backward(page) { // the oldest first
		if a.Action != string(op.Kind) || a.Operation != op.ID && !sameAutomatic(a, op) {
			continue
		}
		switch a.Outcome {
		case "done", "unchanged":
			op.State = stateDone
		case "failed", "refused":
			op.State, op.Error = stateFailed, &operationError{Code: a.Code, Message: clip(a.Detail)}
		case "cancelled":
			op.State, op.Error = stateCancelled, &operationError{Code: "cancelled", Message: clip(a.Detail), Hint: "nothing was changed"}
		default:
			continue
		}
		at, about := a.At, a.Backup
		op.EndedAt = &at
		if op.Backup == nil && about != "" {
			op.Backup = &about
		}
		if op.State == stateDone {
			o.found(op) // for its result
		}
		return true
	}
	return false
}

// sameAutomatic reports whether a tells the end of op, where that was observed: such
// a one has no id in the log. Only one of a kind runs at a time.
func sameAutomatic(a snapshot.Activity, op *operation) bool {
	return op.Who == automatic && a.Who == automatic && a.Operation == "" && a.Trigger == op.Trigger && !a.At.Before(op.StartedAt)
}

// found looks whether what op was to do has been done all the same, and reports it
// with its result.
func (o *operations) found(op *operation) bool {
	state, err := o.m.State()
	if err != nil {
		o.log.Warn("read the catalog", "error", oneLine(err.Error()))
		return false
	}
	id := deref(op.Backup)
	var result any
	switch op.Kind {
	case kindRestore:
		last := state.LastRestore
		if last == nil || last.ID != id || last.At.Before(op.StartedAt) {
			return false
		}
		// By which method it was made is not known any more.
		done := snapshot.RestoreResult{Restored: last.ID, To: o.m.Database(), DurationMS: last.DurationMS}
		if last.Safety != "" {
			done.SafetyBackup = &last.Safety
		}
		result = done
	case kindDrill:
		last := state.LastDrill
		if last == nil || last.ID != id || last.At.Before(op.StartedAt) {
			return false
		}
		result = *last
	case kindVerify:
		b, err := o.m.Find(id)
		if err != nil || b.Verification.At == nil || b.Verification.At.Before(op.StartedAt) || !b.Usable() {
			return false
		}
		result = showBackup(b)
	case kindBackup:
		b, ok := o.madeBy(op.StartedAt, catalog.Trigger(op.Trigger))
		if !ok {
			return false
		}
		op.Backup, result = &b.ID, showBackup(b)
	default:
		return false
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return false
	}
	op.State, op.Result = stateDone, raw
	return true
}

// madeBy finds the oldest backup of that trigger that was taken since.
func (o *operations) madeBy(since time.Time, trigger catalog.Trigger) (made snapshot.Backup, ok bool) {
	all, err := o.m.Backups()
	if err != nil {
		return made, false
	}
	for _, b := range slices.Backward(all) {
		if b.Trigger == trigger && !b.CreatedAt.Before(since) {
			return b, true
		}
	}
	return made, false
}
