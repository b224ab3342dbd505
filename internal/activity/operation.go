package activity

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

// Operation is one operation, as its lines say.
type Operation struct {
	ID      string
	Kind    string // "backup", "restore", …
	Who     string
	Trigger string
	Backup  string
	Remote  string
	Started time.Time
	Ended   time.Time // zero without an end
	Outcome string    // Running, Interrupted, or how it ended
	Code    string    // of the error that ended it
	Detail  string
	Hint    string
	Result  json.RawMessage // nil for none, and for one that was too long
}

// Outcomes of an operation without an end.
const (
	Running     = "running"
	Interrupted = "interrupted" // its process ended before it
)

// kind is the kind of the operation that r is of: a repair is how a recovery ended.
func (r Record) kind() string {
	if r.Action == "repair" {
		return "recover"
	}
	return r.Action
}

// operation is what r says of the operation that it begins or ends.
func (r Record) operation() Operation {
	op := Operation{ID: r.Operation, Kind: r.kind(), Who: r.Who, Trigger: r.Trigger, Backup: r.Backup, Remote: r.Remote, Started: r.At, Outcome: r.Outcome}
	switch {
	case r.Line == Ended:
		op.Ended, op.Code, op.Detail, op.Hint, op.Result = r.At, r.Code, r.Detail, r.Hint, r.Result
		if r.Began != nil {
			op.Started = *r.Began
		}
	case !isRunning(r.Process):
		op.Outcome = Interrupted
	}
	return op
}

// Operation returns the operation with that id. Errors: those of Page.
func (j *Journal) Operation(id string) (op Operation, ok bool, err error) {
	needle, err := encode(id)
	if err != nil {
		return op, false, err
	}
	err = j.each(bytes.TrimSpace(needle), func(r Record) bool {
		if ok = r.Line != "" && r.Operation == id; ok {
			op = r.operation()
		}
		return !ok
	})
	return op, ok, err
}

// marked is in every line that begins or ends an operation.
var marked = []byte(`"line":"`)

// Operations returns the last operations of these kinds, at most limit, those that
// ended last first. Errors: those of Page.
func (j *Journal) Operations(kinds []string, limit int) ([]Operation, error) {
	all := make([]Operation, 0, limit)
	seen := make(map[string]bool)
	err := j.each(marked, func(r Record) bool {
		if r.Line != "" && !seen[r.Operation] && slices.Contains(kinds, r.kind()) {
			seen[r.Operation] = true
			all = append(all, r.operation())
		}
		return len(all) < limit
	})
	return all, err
}

// Unended returns the last operation that has a start, if that has no end. Those of
// the kinds in without do not count. Errors: those of Page.
func (j *Journal) Unended(without ...string) (op Operation, ok bool, err error) {
	ended := make(map[string]bool)
	err = j.each(marked, func(r Record) bool {
		if r.Line == Ended {
			ended[r.Operation] = true
		}
		if r.Line != Started || slices.Contains(without, r.Action) {
			return true
		}
		op, ok = r.operation(), !ended[r.Operation]
		return false
	})
	return op, ok, err
}
