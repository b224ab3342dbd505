package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

// rightOf is the right to begin an operation of that kind, and to stop it.
var rightOf = map[snapshot.Operation]Right{
	snapshot.OpBackup: RightCreate, snapshot.OpVerify: RightVerify, snapshot.OpDrill: RightVerify, snapshot.OpCheck: RightVerify,
	snapshot.OpRestore: RightRestore, snapshot.OpRecover: RightRestore, snapshot.OpRestoreRows: RightRestore, snapshot.OpPrune: RightDelete, snapshot.OpSync: RightCreate,
}

// run is an operation of this process while it runs. operations.mu guards it.
type run struct {
	op        operation
	cancel    context.CancelCauseFunc // nil for an observed one: the API did not begin it
	stopper   string                  // who stopped it, "" for no one
	committed bool                    // its point of no return has passed
	ending    bool                    // it is over, and its outcome is being read
	speed     speedometer
}

// operations knows what runs in this process, begun by the API or observed by its
// events, and how it ended. The activity log has the rest: what ran before, and what
// other processes do.
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

	mu      sync.Mutex // guards what follows; held for moments only, never over I/O
	runs    []*run     // in the order of their beginning
	ended   []operation
	totals  map[outcome]int64
	closing bool
}

// outcome counts operations for the metrics.
type outcome struct {
	kind  snapshot.Operation
	state string
}

// keepOperations is how many are listed, and how many that ended are kept in memory.
const keepOperations = 50

// newOperations listens to the Manager's events.
func newOperations(m manager, log *slog.Logger, now func() time.Time, publish func(operation), changed func()) *operations {
	o := &operations{m: m, now: now, log: log, publish: publish, changed: changed, totals: make(map[outcome]int64)}
	o.base, o.stop = context.WithCancel(context.Background())
	o.unhear = m.Subscribe(o.hear)
	return o
}

// start begins an operation on a backup or, for a sync, a remote, and returns it as it is then. work gets a context
// that the request's end does not end; what it returns becomes the result, as JSON.
// Errors: busy, with the id of the operation that is in the way; unavailable.
func (o *operations) start(kind snapshot.Operation, who, trigger, about string, work func(context.Context) (any, error)) (operation, error) {
	r := &run{op: operation{ID: strings.ToLower(rand.Text()[:20]), Kind: kind, State: stateRunning, StartedAt: o.now(), Who: clip(who), Trigger: trigger}}
	if kind == snapshot.OpSync { // to stop it would not stop the sender, but only the wait for it
		r.op.Remote = &about
	} else {
		r.setBackup(about)
		r.op.Cancellable = true
	}
	ctx, cancel := context.WithCancelCause(snapshot.WithCaller(o.base, snapshot.Caller{Who: who, Run: r.op.ID}))
	r.cancel = cancel
	op, err := o.admit(r)
	if err != nil {
		cancel(nil)
		return operation{}, err
	}
	go func() {
		defer o.working.Done()
		defer cancel(nil)
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
	if other := o.inTheWay(r.op.lane()); other != nil {
		return operation{}, busyWith(other.op)
	}
	o.runs = append(o.runs, r)
	o.working.Add(1)
	o.publish(r.op)
	return r.op, nil
}

// busyWith is the refusal of an operation that must wait for op.
func busyWith(op operation) *problem {
	p := fail(http.StatusConflict, "busy", "another operation is running: "+string(op.Kind)+", by "+op.Who, "wait until it has ended, or stop it")
	p.Operation = op.ID
	return p
}

// lane names the operations that run one at a time: those that write; checks, which disturb nothing; and those
// that send to one remote.
func (op operation) lane() string {
	switch op.Kind {
	case snapshot.OpCheck, snapshot.OpSync:
		return string(op.Kind) + deref(op.Remote)
	}
	return writes
}

const writes = "writes"

// inTheWay returns the operation that one of that lane would have to wait for.
func (o *operations) inTheWay(lane string) *run {
	for _, r := range o.runs {
		if !r.ending && r.op.lane() == lane {
			return r
		}
	}
	return nil
}

// writing returns the refusal of a request that cannot be carried out next to an operation that writes.
func (o *operations) writing() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.inTheWay(writes); r != nil {
		return busyWith(r.op)
	}
	return nil
}

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

// finish notes how an operation ended that the API began.
func (o *operations) finish(ctx context.Context, r *run, result any, err error) {
	end := operation{State: stateDone}
	if err == nil && result != nil {
		if end.Result, err = json.Marshal(result); err != nil {
			err = fmt.Errorf("the operation succeeded, its result cannot be shown: %w", err)
		}
	}
	o.mu.Lock()
	stopper, committed := r.stopper, r.committed
	o.mu.Unlock()
	switch {
	case err == nil:
	case stopper != "" && (errors.Is(err, context.Canceled) || ctx.Err() != nil && !committed):
		end.State, end.Error = stateCancelled, cancelled("stopped by "+stopper, snapshot.Hint(err))
	default:
		end.State, end.Error = stateFailed, errorOf(err)
	}
	o.end(r, end)
}

// end moves r to the ended operations, with the state, error and result of end.
func (o *operations) end(r *run, end operation) {
	at := o.now()
	o.mu.Lock()
	r.op.State, r.op.Error, r.op.Result = end.State, end.Error, end.Result
	r.op.EndedAt, r.op.Cancellable, r.op.Rate, r.op.ETA = &at, false, nil, nil
	op := r.op
	o.runs = slices.DeleteFunc(o.runs, func(other *run) bool { return other == r })
	o.ended = append(o.ended, op)
	o.ended = slices.Delete(o.ended, 0, max(0, len(o.ended)-keepOperations))
	o.totals[outcome{op.Kind, op.State}]++
	o.mu.Unlock()
	o.publish(op)
	o.changed()
}

// hear takes one of the Manager's events. It is called from within the Manager's
// work, so it neither waits nor calls it, and no fault of ours may get out.
func (o *operations) hear(ev snapshot.Event) {
	defer func() {
		if v := recover(); v != nil {
			o.log.Error("panic over an event", "event", string(ev.Type), "panic", v, "stack", string(debug.Stack()))
		}
	}()
	o.note(ev)
	if ev.Type != snapshot.EventProgress && !logEvent(ev) {
		o.changed()
	}
}

// note brings the operation that ev is of up to date.
func (o *operations) note(ev snapshot.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.runOf(ev)
	if r == nil || r.ending {
		return
	}
	if ev.Operation == r.op.Kind {
		if ev.Trigger != "" {
			r.op.Trigger = ev.Trigger
		}
		r.setBackup(ev.Backup)
		if r.cancel == nil && ev.Ends() {
			o.endObserved(r, ev)
			return
		}
	}
	if ev.Type == snapshot.EventProgress {
		r.progress(ev, o.now())
	}
	o.publish(r.op) // under mu: an older state must not follow a newer one
}

// runOf returns the operation that ev is of, which may begin with it.
func (o *operations) runOf(ev snapshot.Event) *run {
	for _, r := range o.runs {
		if r.op.ID == ev.Run {
			return r
		}
	}
	if _, known := rightOf[ev.Operation]; !known || ev.Type != snapshot.EventStarted || o.closing {
		return nil
	}
	r := &run{op: operation{ID: ev.Run, Kind: ev.Operation, State: stateRunning, StartedAt: ev.At, Who: nameOrAutomatic(ev.Who), Trigger: ev.Trigger}}
	if ev.Remote != "" {
		r.op.Remote = &ev.Remote
	}
	o.runs = append(o.runs, r)
	return r
}

// setBackup notes which backup r is about; "" says nothing.
func (r *run) setBackup(id string) {
	if id != "" && deref(r.op.Backup) != id {
		r.op.Backup = &id
	}
}

// endObserved ends r, whose last event is ev, as the activity log says. That is read
// later: the Manager may not be called from here. The caller holds mu.
func (o *operations) endObserved(r *run, ev snapshot.Event) {
	r.ending = true
	if o.closing {
		return // the log has it
	}
	o.working.Go(func() {
		record, err := o.m.Operation(r.op.ID)
		if err != nil {
			o.log.Warn("read how an operation ended", "error", oneLine(err.Error()))
			record = snapshot.OperationRecord{Outcome: "done"}
			if ev.Err != nil {
				record.Outcome, record.Code, record.Detail = "failed", snapshot.Code(ev.Err), ev.Err.Error()
			}
		}
		o.end(r, viewOf(record))
	})
}

// cancel asks the operation to stop, on behalf of who.
func (o *operations) cancel(id, who string) (operation, error) {
	o.mu.Lock()
	for _, r := range o.runs {
		if r.op.ID != id {
			continue
		}
		if r.cancel == nil || r.committed || r.ending || r.op.Kind == snapshot.OpSync {
			break
		}
		first := r.stopper == ""
		r.stop(who)
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

// stop asks r to stop, once. The Manager records who did.
func (r *run) stop(who string) {
	if r.stopper == "" {
		r.stopper, r.op.Cancellable = who, false
		r.cancel(errors.New("stopped by " + who))
	}
}

// close ends what can be stopped and waits for the rest until ctx ends.
func (o *operations) close(ctx context.Context) error {
	o.mu.Lock()
	o.closing = true
	for _, r := range o.runs {
		if r.cancel != nil && !r.committed {
			r.stop("the server, which closes down")
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

// counts is for the metrics: how many of each kind run, and how many ended how.
func (o *operations) counts() (running map[string]int, ended map[outcome]int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	running = make(map[string]int)
	for _, r := range o.runs {
		running[string(r.op.Kind)]++
	}
	return running, maps.Clone(o.totals)
}
