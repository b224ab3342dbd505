package httpapi

import (
	"fmt"
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

// deed is what this package itself enters into the activity log; what operations
// do the Manager enters.
type deed struct{ Who, Action, Outcome, Detail string }

func (h *Handler) record(d deed) {
	h.m.Record(snapshot.Activity{Who: d.Who, Action: d.Action, Outcome: d.Outcome, Detail: d.Detail})
	h.happened()
}

// How many refusals are entered: a log that anybody can fill tells nothing.
const (
	recordBurst  = 20
	recordRefill = time.Minute
)

// recorder bounds the entries, and counts what it leaves out.
type recorder struct {
	mu      sync.Mutex
	bucket  bucket
	skipped int
}

func (r *recorder) record(h *Handler, d deed, now time.Time) {
	r.mu.Lock()
	if r.bucket.wait(now, recordBurst, recordRefill) > 0 {
		r.skipped++
		r.mu.Unlock()
		return
	}
	r.bucket.take(now, recordRefill)
	if r.skipped > 0 {
		d.Detail += fmt.Sprintf(" (and %d more refusals before)", r.skipped)
		r.skipped = 0
	}
	r.mu.Unlock()
	h.record(d)
}
