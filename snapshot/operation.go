package snapshot

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/progress"
)

// Operation names what a Manager does: the same word in events, in the activity log
// and in the API.
type Operation string

const (
	OpBackup  Operation = "backup"
	OpVerify  Operation = "verify"
	OpDrill   Operation = "drill"
	OpRestore Operation = "restore"
	OpRecover Operation = "recover"
	OpCheck   Operation = "check"
	OpPrune   Operation = "prune"
	OpDelete  Operation = "delete"
	OpPin     Operation = "pin"
	OpUnpin   Operation = "unpin"
	OpNote    Operation = "note"
	OpRebuild Operation = "rebuild"
	OpAccept  Operation = "accept"
	OpSync    Operation = "sync"

	OpRestoreRows Operation = "restore-rows"
)

// Phase names a part of an operation, in its progress events.
type Phase = progress.Phase

const (
	PhaseCheck    = progress.Check    // an integrity check
	PhaseSpool    = progress.Spool    // the image is copied to a private file
	PhaseCompress = progress.Compress // the archive is written
	PhaseReadBack = progress.ReadBack // the stored bytes are proven
	PhaseProve    = progress.Prove    // a backup is proven before a restore
	PhaseUnpack   = progress.Unpack   // the image is written to a file
	PhaseRepair   = progress.Repair   // a copy of the database is made whole
	PhaseWrite    = progress.Write    // the image is written into the live database
	PhaseCommit   = progress.Commit   // from here on cancelling has no effect
	PhaseSend     = progress.Send     // copies go to a remote
)

// operation is one call of a Manager that does something. Its life:
//
//	asked ──── lock refused ─────────────────────────────────┐
//	  │ operation lock, unless lockFree; what a crash left   │
//	  │ is finished or undone, and has its end in the log    │
//	ready ──── work refuses: no such backup, pinned, … ──────┤
//	  │ start: started event, started line                   │
//	running ── phases, meters, steps ──── work fails ────────┤
//	  │ work returns                                         ▼
//	ended: done, unchanged                     ended: failed, refused, cancelled
//	  │ after: what follows a success, such as pruning
//	  ▼ lock released
//
// Each way has exactly one end event and one ended line in the activity log, and at
// most one start before it. What fails in after is an operation of its own.
//
// Locks are taken in this order, and none is taken while a later one is held:
//
//  1. the service lock, by Run
//  2. the operation lock, by perform
//  3. SQLite's locks of the live database
//  4. the catalog's lock, for one update
//  5. the mutex of act, with the activity log's lock where the log is put aside
//  6. events.mu: OnEvent and subscribers run under it and must not call the Manager
type operation struct {
	kind     Operation
	trigger  catalog.Trigger       // of a backup
	remote   string                // name, where it is about one
	lockFree bool                  // it waits for no other operation
	after    func(context.Context) // follows a success, under the lock; nil for nothing
	failed   func(error)           // remembers a failure that is one of the protection; nil for nothing
	result   func() any            // what the ended line keeps; nil for nothing

	id      string // of this run of it
	backup  string // which it is about, once that is known
	began   time.Time
	started bool
	ended   bool
	changed bool // it did something that stays
}

// errPanicked ends an operation whose work panicked. The panic goes on.
var errPanicked = errors.New("an error of this program ended the operation")

// perform carries out op: work, between at most one start and exactly one end. work
// calls start once it has what it needs. It returns the end event, unless it emitted
// that itself; without either, a started operation ends with EventDone.
func (m *Manager) perform(ctx context.Context, op *operation, work func(context.Context) (Event, error)) error {
	caller := callerOf(ctx)
	op.id, op.began = cmp.Or(caller.Run, newID()), m.now()
	ctx = context.WithValue(WithCaller(ctx, Caller{Who: caller.Who, Run: op.id}), operationKey{}, op)
	if !op.lockFree {
		unlock, err := m.operate(ctx, string(op.kind))
		if err != nil {
			return m.fail(ctx, op, err)
		}
		defer unlock()
	}
	returned := false
	defer func() {
		if !returned && !op.ended {
			_ = m.fail(context.WithoutCancel(ctx), op, errPanicked) // it says so; the panic is the error
		}
	}()
	end, err := work(ctx)
	returned = true
	m.reportChanges(ctx, m.cat.TakeChanges(), true)
	if err != nil {
		return m.fail(ctx, op, err)
	}
	if end.Type == "" && op.started && !op.ended {
		end.Type = EventDone
	}
	if end.Type != "" {
		end.Operation, end.Trigger, end.Backup, end.Remote = op.kind, string(op.trigger), cmp.Or(end.Backup, op.backup), op.remote
		m.ev.emit(ctx, end)
	}
	if op.after != nil {
		op.after(ctx)
	}
	return nil
}

// start announces that op has what it needs and begins; backup is the one that it is
// about, "" for none.
func (m *Manager) start(ctx context.Context, backup string) {
	op := operationOf(ctx)
	op.backup = backup
	m.ev.emit(ctx, Event{Type: EventStarted, Operation: op.kind, Trigger: string(op.trigger), Backup: backup, Remote: op.remote})
}

// fail ends op with err and returns it. An operation that was cancelled, or that
// found another one at work, is no failure of the protection and leaves no mark.
func (m *Manager) fail(ctx context.Context, op *operation, err error) error {
	err = explain(err)
	ev := Event{Type: EventFailed, Operation: op.kind, Trigger: string(op.trigger), Backup: op.backup, Remote: op.remote, Err: message.Public(err), Message: string(op.kind) + " failed"}
	if errors.Is(err, context.Canceled) {
		what := "nothing was changed"
		if op.changed {
			what = "what it had done by then stays"
		}
		ev.Message = string(op.kind) + " was stopped; " + what
		if Hint(err) == "" {
			err = hint(err, what)
			ev.Err = message.Public(err)
		}
		ev.more.Detail = "stopped before its end" // where exactly is a matter of chance
		if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
			ev.more.Detail = why.Error() // as the caller says
		}
	}
	m.ev.emit(ctx, ev)
	if op.failed != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, catalogfile.ErrBusy) {
		op.failed(err)
	}
	return err
}

// mark adds to the log's entry of an event what makes it a line that begins or ends op.
func (op *operation) mark(ev *Event) {
	switch ev.Type {
	case EventBackedUp, EventRemoved, EventQuarantined:
		if op != nil {
			op.changed = true
		}
	}
	switch {
	case op == nil || ev.Operation != op.kind || ev.Trigger != string(op.trigger):
	case ev.Type == EventStarted && !op.started:
		op.started = true
		ev.mark.Line = activity.Started
	case ev.Ends() && !op.ended:
		op.ended, ev.begun = true, op.started
		ev.mark.Line, ev.mark.Began = activity.Ended, &op.began
		ev.more.DurationMS = cmp.Or(ev.more.DurationMS, ev.At.Sub(op.began).Milliseconds())
		if op.result != nil && ev.result == nil {
			ev.result = op.result()
		}
		if ev.result != nil && ev.Err == nil {
			if raw, err := json.Marshal(ev.result); err == nil { // else the log does without
				ev.mark.Result = raw
			}
		}
	}
}

// newID returns a random id of 100 bits.
func newID() string { return strings.ToLower(rand.Text()[:20]) }

type operationKey struct{}

// operationOf returns the operation that ctx belongs to, or nil.
func operationOf(ctx context.Context) *operation {
	op, _ := ctx.Value(operationKey{}).(*operation)
	return op
}

// reporter makes events of what the rooms below report of an operation.
type reporter struct {
	m   *Manager
	ctx context.Context
	of  Event // what they have in common
}

func (r reporter) Phase(p Phase, total int64) (done func(int64)) {
	ev := r.of
	ev.Type, ev.Phase, ev.Total = EventProgress, p, total
	r.m.ev.emit(r.ctx, ev)
	return r.m.ev.meter(r.ctx, ev)
}

func (r reporter) Warn(w progress.Warning) {
	ev := r.of
	ev.Type, ev.Backup, ev.Path, ev.Err, ev.Message = EventWarning, cmp.Or(w.Backup, ev.Backup), w.Path, w.Err, w.Message
	r.m.ev.emit(r.ctx, ev)
}

func (r reporter) Point(name string) { atPoint(name) }

// Ends reports whether ev is the end of the operation that it names, well or not:
// every call of the Manager that does something has exactly one such event, and one
// started event before it at most, none where it failed before it began (another
// process held the lock, there is no such backup). What an operation does on its way has
// other names in Operation: a restore makes a backup, a recovery a check.
func (ev Event) Ends() bool {
	switch ev.Type {
	case EventFailed, EventDone, EventChecked, EventBackedUp, EventUnchanged, EventVerified, EventDrilled, EventRestored, EventRepaired:
		return true
	}
	return false
}

type patienceKey struct{}

// withPatience returns a context whose operation waits for all locks together no longer
// than d, however long LockWait is.
func withPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, time.Now().Add(d))
}

// crashPoint, when a test sets it, is called at every point between two
// irreversible steps, so that the test can kill the process there.
var crashPoint func(name string)

func atPoint(name string) {
	if crashPoint != nil {
		crashPoint(name)
	}
}
