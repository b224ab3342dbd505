package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

// Kinds of operation. They are also the Operation of the Manager's events.
const (
	kindBackup  = "backup"
	kindVerify  = "verify"
	kindDrill   = "drill"
	kindRestore = "restore"
	kindCheck   = "check"
	kindRecover = "recover" // of the Manager's own accord only
	kindPrune   = "prune"   // likewise
)

// rightOf is what it takes to begin an operation of that kind, and to stop it.
var rightOf = map[snapshot.Operation]Right{
	kindBackup: RightCreate, kindVerify: RightVerify, kindDrill: RightVerify,
	kindRestore: RightRestore, kindCheck: RightVerify, kindRecover: RightRestore, kindPrune: RightDelete,
}

// States of an operation.
const (
	stateRunning   = "running"
	stateDone      = "done"
	stateFailed    = "failed"
	stateCancelled = "cancelled"
)

// automatic is who does what the Manager does by itself.
const automatic = "automatic"

// phaseCommit announces the point of no return of a restore.
const phaseCommit = "commit"

// operation is one as the API shows it and as it is kept on disk. What its pointers
// and its Result lead to is never written into: copies share it.
type operation struct {
	ID          string             `json:"id"`
	Kind        snapshot.Operation `json:"kind"`
	State       string             `json:"state"`
	Phase       snapshot.Phase     `json:"phase"` // the present or the last one
	DoneBytes   int64              `json:"done_bytes"`
	TotalBytes  int64              `json:"total_bytes"` // of the phase; 0 where that is not known
	StartedAt   time.Time          `json:"started_at"`
	EndedAt     *time.Time         `json:"ended_at"`
	Error       *operationError    `json:"error"`
	Result      json.RawMessage    `json:"result"`
	Who         string             `json:"who"`
	Trigger     string             `json:"trigger"`
	Backup      *string            `json:"backup"`
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
	p := problemOf(err)
	return &operationError{Code: p.Code, Message: p.Detail, Hint: p.Hint}
}

// run is an operation while it runs. operations.mu guards it.
type run struct {
	op     operation
	caller string             // the Run of its events
	cancel context.CancelFunc // nil for an observed one, which belongs to somebody else
	by     string             // who stopped it, "" for nobody
	past   bool               // its point of no return
	ending bool               // it is over, its result is being fetched
	heard  time.Time          // of it last
	speed  speedometer
}

// operations knows what runs and what ran lately. Whatever it tells, it has first
// noted itself; whatever ended is on disk before it is forgotten here.
type operations struct {
	m       manager
	now     func() time.Time
	log     *slog.Logger
	publish func(operation) // never waits; of one that runs, under mu
	changed func()          // never waits

	base    context.Context // of the operations that the API began
	stop    context.CancelFunc
	unhear  func()
	working sync.WaitGroup // Add under mu, and never once closing is set

	store  *opstore
	saving sync.Mutex // one at a time; taken before mu

	mu      sync.Mutex // guards what follows; held for moments only, never over I/O
	runs    []*run     // in the order of their beginning
	recent  []operation
	totals  map[outcome]int64
	closing bool
}

// outcome counts operations for the metrics.
type outcome struct {
	kind  snapshot.Operation
	state string
}

// keepOperations is how many are kept, on disk and in memory, beside what runs.
const keepOperations = 50

// quiet is how long an observed operation may be silent before it is no longer
// believed to run: its owner may have given up without a word.
const quiet = 15 * time.Minute

// newOperations reads what is kept, settles what a crash left running, and listens.
func newOperations(m manager, store *opstore, log *slog.Logger, now func() time.Time, publish func(operation), changed func()) *operations {
	o := &operations{m: m, now: now, log: log, publish: publish, changed: changed, store: store, totals: make(map[outcome]int64)}
	o.base, o.stop = context.WithCancel(context.Background())
	o.recent = o.settle(store.load())
	o.unhear = m.Subscribe(o.hear)
	return o
}

// start begins an operation and returns it as it stands then. work gets a context
// that the request's end does not end; what it returns becomes the result, as JSON.
// Errors: busy, with the id of the operation that is in the way; unavailable.
func (o *operations) start(kind snapshot.Operation, who, trigger, backup string, work func(context.Context) (any, error)) (operation, error) {
	r := &run{op: operation{ID: newID(), Kind: kind, State: stateRunning, StartedAt: o.now(), Who: clip(who), Trigger: trigger, Cancellable: true}}
	if backup != "" {
		r.op.Backup = &backup
	}
	r.caller = r.op.ID
	ctx, cancel := context.WithCancel(snapshot.WithCaller(o.base, snapshot.Caller{Who: who, Run: r.op.ID}))
	r.cancel = cancel
	op, err := o.admit(r)
	if err != nil {
		cancel()
		return operation{}, err
	}
	o.save() // before it begins: a crash must not leave it unknown
	go func() {
		defer o.working.Done()
		defer cancel()
		result, err := o.guarded(ctx, r, work)
		o.finish(ctx, r, result, err)
	}()
	return op, nil
}

// admit lists r as running unless another one is in its way.
func (o *operations) admit(r *run) (operation, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing {
		return operation{}, fail(http.StatusServiceUnavailable, "unavailable", "the server is closing down", "try again when it is back")
	}
	if other := o.inTheWay(r.op.Kind); other != nil {
		return operation{}, busyWith(other.op)
	}
	o.runs = append(o.runs, r)
	o.working.Add(1)
	o.publish(r.op)
	return r.op, nil
}

// busyWith is the refusal of what must wait for op.
func busyWith(op operation) *problem {
	p := fail(http.StatusConflict, "busy", "another operation is running: "+string(op.Kind)+", by "+op.Who, "wait until it has ended, or stop it")
	p.Operation = op.ID
	return p
}

// inTheWay returns the operation that one of kind would have to wait for: what
// writes runs alone, and checks, which disturb nobody, are made one at a time.
func (o *operations) inTheWay(kind snapshot.Operation) *run {
	for _, r := range o.runs {
		if r.ending || (r.op.Kind == kindCheck) != (kind == kindCheck) {
			continue
		}
		if r.cancel != nil || o.now().Sub(r.heard) < quiet {
			return r
		}
	}
	return nil
}

// writing returns the refusal of what cannot be done beside an operation that writes.
func (o *operations) writing() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.inTheWay(""); r != nil {
		return busyWith(r.op)
	}
	return nil
}

// get returns the operation with that id.
func (o *operations) get(id string) (operation, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.runs {
		if r.op.ID == id {
			return r.op, true
		}
	}
	for _, op := range o.recent {
		if op.ID == id {
			return op, true
		}
	}
	return operation{}, false
}

// running returns what runs, the oldest first.
func (o *operations) running() []operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]operation, 0, len(o.runs))
	for _, r := range o.runs {
		all = append(all, r.op)
	}
	return all
}

// list returns what runs and what ran lately, at most keepOperations, the newest first.
func (o *operations) list() []operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return newestFirst(o.runs, o.recent)
}

// cancel asks the operation to stop, on behalf of who.
func (o *operations) cancel(id, who string) (operation, error) {
	o.mu.Lock()
	for _, r := range o.runs {
		if r.op.ID != id {
			continue
		}
		if r.cancel == nil || r.past || r.ending {
			break
		}
		first := r.by == ""
		if first {
			r.by, r.op.Cancellable = who, false
			r.cancel()
		}
		op := r.op
		o.publish(op)
		o.mu.Unlock()
		if first {
			o.m.Record(snapshot.Activity{Who: who, Action: "cancel", Operation: id, Backup: deref(op.Backup), Outcome: "done",
				Detail: "asked to stop: " + string(op.Kind) + ", begun by " + op.Who})
			o.changed()
		}
		return op, nil
	}
	o.mu.Unlock()
	return operation{}, fail(http.StatusConflict, "not_cancellable", "this operation has ended, or can no longer be stopped",
		"a restore can be undone by restoring the backup that it saved first")
}

// close ends what can be stopped and waits for the rest until ctx ends.
func (o *operations) close(ctx context.Context) error {
	o.mu.Lock()
	o.closing = true
	for _, r := range o.runs {
		if r.cancel != nil && !r.past {
			if r.by == "" {
				r.by = "the server, which closes down"
			}
			r.cancel()
		}
	}
	o.mu.Unlock()
	err := wait(ctx, &o.working)
	o.unhear()
	if err == nil {
		o.stop()
	}
	return err
}

// wait returns when g is done, or with ctx's error.
func wait(ctx context.Context, g *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { // ends with the last member of g
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newID returns a new random id of 100 bits.
func newID() string { return strings.ToLower(rand.Text()[:20]) }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// counts is what the metrics tell: how many of each kind run, and how many ended how.
func (o *operations) counts() (running map[string]int, ended map[outcome]int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	running = make(map[string]int)
	for _, r := range o.runs {
		running[string(r.op.Kind)]++
	}
	return running, maps.Clone(o.totals)
}
