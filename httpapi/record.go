package httpapi

import (
	"fmt"
	"sync"
	"time"

	"example.com/snapd/internal/ratelimit"
	"example.com/snapd/snapshot"
)

// record enters what this package itself does or refuses; what operations do the
// Manager enters.
func (h *Handler) record(a snapshot.Activity) {
	h.m.Record(a)
	h.happened()
}

// recordLimit is how many refusals are entered: a log that every caller can fill is
// of no use.
var recordLimit = ratelimit.Limit{Burst: 20, Every: time.Minute}

// recorders has a recorder for each action: a caller who may do only one thing cannot
// hide what others are refused. Its zero value is ready.
type recorders struct {
	mu sync.Mutex
	of map[string]*recorder
}

func (r *recorders) get(action string) *recorder {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = make(map[string]*recorder)
	}
	if r.of[action] == nil {
		r.of[action] = new(recorder)
	}
	return r.of[action]
}

// recorder bounds the entries, and counts what it leaves out.
type recorder struct {
	mu      sync.Mutex
	bucket  ratelimit.Bucket
	skipped int
}

func (r *recorder) record(h *Handler, a snapshot.Activity, now time.Time) {
	r.mu.Lock()
	if r.bucket.Wait(now, recordLimit) > 0 {
		r.skipped++
		r.mu.Unlock()
		return
	}
	r.bucket.Take(now, recordLimit)
	if r.skipped > 0 {
		a.Detail += fmt.Sprintf(" (and %d more refusals before)", r.skipped)
		r.skipped = 0
	}
	r.mu.Unlock()
	h.record(a)
}
