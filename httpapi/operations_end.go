package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
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
