package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"

	"example.com/snapd/snapshot"
)

// guarded calls work; its panic becomes its error, for the process has a database
// to look after.
func (o *operations) guarded(ctx context.Context, r *run, work func(context.Context) (any, error)) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			o.log.Error("panic in an operation", "operation", r.op.ID, "kind", r.op.Kind, "panic", v, "stack", string(debug.Stack()))
			err = fail(http.StatusInternalServerError, "failed", "an error of this program ended the operation; its log has the details",
				"look at the status before anything else is done")
		}
	}()
	return work(ctx)
}

// finish notes how r ended, keeps that, and tells it.
func (o *operations) finish(ctx context.Context, r *run, result any, err error) {
	var raw json.RawMessage
	if err == nil && result != nil {
		if raw, err = json.Marshal(result); err != nil {
			err = fmt.Errorf("the operation succeeded, its result cannot be shown: %w", err)
		}
	}
	o.mu.Lock()
	state := stateDone
	if err != nil {
		r.op.Error = errorOf(err)
		state = stateFailed
		if r.by != "" && (errors.Is(err, context.Canceled) || ctx.Err() != nil && !r.past) {
			state = stateCancelled
			r.op.Error = &operationError{Code: "cancelled", Message: clip("stopped by " + r.by), Hint: "nothing was changed"}
		}
	}
	r.op.Result = raw
	op := o.retire(r, state)
	o.mu.Unlock()
	o.save()
	o.publish(op)
	o.changed()
}

// retire moves r, which ended in state, to what ran lately. The caller holds mu.
func (o *operations) retire(r *run, state string) operation {
	at := o.now()
	r.op.State, r.op.EndedAt, r.op.Cancellable, r.op.Rate, r.op.ETA = state, &at, false, nil, nil
	o.runs = slices.DeleteFunc(o.runs, func(other *run) bool { return other == r })
	o.recent = append(o.recent, r.op)
	if over := len(o.recent) - keepOperations; over > 0 {
		o.recent = slices.Delete(o.recent, 0, over)
	}
	o.totals[outcome{r.op.Kind, state}]++
	return r.op
}

// newestFirst merges what runs and what ran lately, at most keepOperations of them.
func newestFirst(runs []*run, recent []operation) []operation {
	all := make([]operation, 0, len(runs)+len(recent))
	for _, r := range slices.Backward(runs) {
		all = append(all, r.op)
	}
	for _, op := range slices.Backward(recent) {
		all = append(all, op)
	}
	slices.SortStableFunc(all, func(a, b operation) int { return b.StartedAt.Compare(a.StartedAt) })
	return all[:min(len(all), keepOperations)]
}

// save writes the operations as they stand. That they could not be written is said
// in the log: what they do is more important than what is remembered of them.
func (o *operations) save() {
	o.saving.Lock()
	defer o.saving.Unlock()
	if err := o.store.save(o.list()); err != nil {
		o.log.Warn("the outcome of operations could not be kept for after a restart", "error", oneLine(err.Error()))
	}
}

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
			}
			a := snapshot.Activity{Who: op.Who, Action: op.Kind, Operation: op.ID, Backup: deref(op.Backup), Trigger: op.Trigger, Outcome: op.State,
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
func interrupted(kind string) *operationError {
	e := &operationError{Code: "interrupted", Message: "the program ended before this " + kind + " had", Hint: "start it again"}
	switch kind {
	case kindRestore, kindRecover:
		e.Message = "the program ended during this " + kind + ", and there is no record that it took effect"
		e.Hint = "the database is either as it was before or wholly restored: look at it, and restore again if need be"
	case kindBackup:
		e.Hint = "no backup was kept; make a new one"
	}
	return e
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
	for _, a := range page {
		if a.Operation != op.ID || a.Action != op.Kind {
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
		at := a.At
		op.EndedAt = &at
		if op.State == stateDone {
			o.found(op) // for its result
		}
		return true
	}
	return false
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
		result = restoredAnyhow(o.m.Database(), *last, op.StartedAt)
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
		b, ok := o.madeBy(op)
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

// madeBy finds the backup that op made: the oldest of its trigger that is not older.
func (o *operations) madeBy(op *operation) (made snapshot.Backup, ok bool) {
	all, err := o.m.Backups()
	if err != nil {
		return made, false
	}
	for _, b := range slices.Backward(all) {
		if string(b.Trigger) == op.Trigger && !b.CreatedAt.Before(op.StartedAt) {
			return b, true
		}
	}
	return made, false
}
