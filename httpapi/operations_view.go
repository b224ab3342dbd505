package httpapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/snapshot"
)

// States of an operation.
const (
	stateRunning   = "running"
	stateDone      = "done"
	stateFailed    = "failed"
	stateCancelled = "cancelled"
)

// operation is one as the API shows it. What its pointers and its Result lead to is
// never written into: copies share it.
type operation struct {
	ID          string             `json:"id"`
	Kind        snapshot.Operation `json:"kind"`
	State       string             `json:"state"`
	Phase       snapshot.Phase     `json:"phase"` // the present or the last one
	DoneBytes   int64              `json:"done_bytes"`
	TotalBytes  int64              `json:"total_bytes"` // of the phase; 0 where that is not known
	StartedAt   time.Time          `json:"started_at"`
	EndedAt     *time.Time         `json:"ended_at"` // null while it runs, and where that is not known
	Error       *operationError    `json:"error"`
	Result      json.RawMessage    `json:"result"`
	Who         string             `json:"who"`
	Trigger     string             `json:"trigger"`
	Backup      *string            `json:"backup"`
	Remote      *string            `json:"remote"`
	Rate        *int64             `json:"rate_bytes_per_second"`
	ETA         *int64             `json:"eta_seconds"` // of the phase
	Cancellable bool               `json:"cancellable"`
}

// operationError says why an operation failed.
type operationError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

func errorOf(err error) *operationError {
	p := problemOf(message.Public(err)) // who looks at it may not see the data
	return &operationError{Code: p.Code, Message: p.Detail, Hint: p.Hint}
}

// cancelled is the error of an operation that was stopped; what says what became of what it had done.
func cancelled(message, what string) *operationError {
	return &operationError{Code: "cancelled", Message: clip(message), Hint: clip(what)}
}

// viewOf shows an operation as the activity log has it.
func viewOf(r snapshot.OperationRecord) operation {
	op := operation{ID: r.ID, Kind: snapshot.Operation(r.Kind), State: stateFailed, StartedAt: r.Started, Who: nameOrAutomatic(r.Who), Trigger: r.Trigger}
	if r.Backup != "" {
		op.Backup = &r.Backup
	}
	if r.Remote != "" {
		op.Remote = &r.Remote
	}
	if !r.Ended.IsZero() {
		op.EndedAt = &r.Ended
	}
	switch r.Outcome {
	case stateRunning:
		op.State = stateRunning
	case stateDone, "unchanged":
		op.State, op.Result = stateDone, withETag(op.Kind, r.Result)
	case stateCancelled:
		op.State, op.Error = stateCancelled, cancelled(r.Detail, r.Hint)
	default:
		op.Error = &operationError{Code: r.Code, Message: clip(r.Detail), Hint: clip(r.Hint)}
	}
	return op
}

// withETag shows the result of a kind that has a backup as one.
func withETag(kind snapshot.Operation, result json.RawMessage) json.RawMessage {
	var b snapshot.Backup
	if kind != snapshot.OpBackup && kind != snapshot.OpVerify || len(result) == 0 {
		return result
	}
	if json.Unmarshal(result, &b) != nil {
		return nil
	}
	raw, err := json.Marshal(showBackup(b))
	if err != nil {
		return nil
	}
	return raw
}

// nameOrAutomatic is the name of an operation's caller; the Manager itself has none.
func nameOrAutomatic(who string) string { return clip(cmp.Or(who, "automatic")) }

// here returns what this process knows, what runs first.
func (o *operations) here() []operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]operation, 0, len(o.runs)+len(o.ended))
	for _, r := range o.runs {
		all = append(all, r.op)
	}
	return append(all, o.ended...)
}

// running returns what runs in this process, the oldest first.
func (o *operations) running() []operation {
	return slices.DeleteFunc(o.here(), func(op operation) bool { return op.State != stateRunning })
}

// get returns the operation with that id. Errors: errNoOperation, those of the log.
func (o *operations) get(id string) (operation, error) {
	all := o.here()
	if i := slices.IndexFunc(all, func(op operation) bool { return op.ID == id }); i >= 0 {
		return all[i], nil
	}
	record, err := o.m.Operation(id)
	if errors.Is(err, snapshot.ErrNotFound) || err == nil && rightOf[snapshot.Operation(record.Kind)] == "" {
		return operation{}, errNoOperation
	}
	return viewOf(record), err
}

// list returns what runs and what ran lately, at most keepOperations, the newest first.
func (o *operations) list() []operation {
	all := o.here()
	records, err := o.m.Operations(slices.Collect(maps.Keys(rightOf)), keepOperations)
	if err != nil {
		o.log.Warn("read the operations of before", "error", oneLine(err.Error()))
	}
	for _, r := range records {
		if !slices.ContainsFunc(all, func(op operation) bool { return op.ID == r.ID }) {
			all = append(all, viewOf(r))
		}
	}
	slices.SortStableFunc(all, func(a, b operation) int { return b.StartedAt.Compare(a.StartedAt) })
	return all[:min(len(all), keepOperations)]
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
