package snapshot

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/message"
)

// EventType names what happened. Each is also a log message.
type EventType string

const (
	EventStarted      EventType = "started"       // an operation began
	EventProgress     EventType = "progress"      // Done of Total bytes in Phase
	EventChecked      EventType = "checked"       // an integrity check of the live database ended
	EventBackedUp     EventType = "backed_up"     // a new verified backup
	EventUnchanged    EventType = "unchanged"     // no backup needed: Backup still covers the database
	EventVerified     EventType = "verified"      // a stored backup was proven again
	EventDrilled      EventType = "drilled"       // a stored backup was restored on trial, and is good
	EventRestored     EventType = "restored"      // a restore or a recovery ended well
	EventRepaired     EventType = "repaired"      // the database was repaired from what it holds
	EventQuarantined  EventType = "quarantined"   // a corrupt database was preserved at Path
	EventRemoved      EventType = "removed"       // a backup was pruned or deleted
	EventReconciled   EventType = "reconciled"    // the catalog was brought in line with the directory
	EventDone         EventType = "done"          // an operation whose end has no other type ended well
	EventFailed       EventType = "failed"        // an operation failed: Err
	EventWarning      EventType = "warning"       // worth a look, e.g. violations
	EventScheduled    EventType = "scheduled"     // the next automatic backup is due at Next
	EventBreak        EventType = "break"         // the live file is no longer the database that was backed up, or is it again: Reason
	EventCapturing    EventType = "capturing"     // commits are captured from now on
	EventCaptured     EventType = "captured"      // commits are in the change log, as Point
	EventAnchored     EventType = "anchored"      // the change log is proven up to Point
	EventChainGap     EventType = "chain_gap"     // commits have no recovery point of their own, or will have none while Err lasts, or have again
	EventReceiver     EventType = "receiver"      // a receiver of notifications fails: Err; or it answers again
	EventStored       EventType = "stored"        // a copy of Backup, or of the change log up to Point, is at Remote
	EventRemote       EventType = "remote"        // Remote cannot be used, can be again, removed an old copy, or is worth a look
	EventRestoreReset EventType = "restore_reset" // a half-done restore was finished or undone
)

// Event is one thing that happened. Fields that do not apply are zero.
type Event struct {
	At        time.Time
	Type      EventType
	Operation Operation
	Trigger   string // of a backup
	Phase     Phase
	Backup    string // id
	Point     string // id of a recovery point of the change log
	Remote    string // name
	Path      string
	Done      int64 // bytes
	Total     int64 // bytes
	Message   string
	Reason    string // why it was done so: of a restore, for its method; of a backup, for how the database was read
	Next      time.Time
	Err       error
	Who       string // the Caller's; "" for what the Manager does by itself
	Run       string // id of this run of the operation: the Caller's, or one made for it

	loud   bool     // logged as a warning
	begun  bool     // the end of an operation that has a start event
	more   Activity // what the activity log says in addition to this
	mark   activity.Mark
	result any // of the operation, where this is its end
}

// events hands events to the logger, to the host and to subscribers, one at a time.
type events struct {
	mu     sync.Mutex // serialises the callbacks, and guards subscribers
	notify func(Event)
	log    *slog.Logger
	now    func() time.Time
	enter  func(Event) // writes the activity log

	subscribers []*subscriber // in the order they came
	listeners   atomic.Int32  // how many of them
}

type subscriber struct{ fn func(Event) }

// Subscribe has fn called like [Config.OnEvent] until cancel is called: one event at
// a time, and not once more after cancel has returned. fn must neither call the
// Manager nor cancel, and should return quickly.
func (m *Manager) Subscribe(fn func(Event)) (cancel func()) {
	s := &subscriber{fn}
	m.ev.mu.Lock()
	defer m.ev.mu.Unlock()
	m.ev.subscribers = append(m.ev.subscribers, s)
	m.ev.listeners.Add(1)
	return sync.OnceFunc(func() {
		m.ev.mu.Lock()
		defer m.ev.mu.Unlock()
		i := slices.Index(m.ev.subscribers, s)
		m.ev.subscribers = slices.Delete(m.ev.subscribers, i, i+1)
		m.ev.listeners.Add(-1)
	})
}

// emit records ev, which happened in the operation of ctx, and gives it to the host and the subscribers.
func (e *events) emit(ctx context.Context, ev Event) {
	c := callerOf(ctx)
	ev.At, ev.Who, ev.Run = e.now().UTC(), c.Who, c.Run
	operationOf(ctx).mark(&ev)
	e.record(ev)
	e.enter(ev) // first: a subscriber may then read the log
	if !e.heard() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.notify != nil {
		e.notify(ev)
	}
	for _, s := range e.subscribers {
		s.fn(ev)
	}
}

// heard reports whether there is a listener.
func (e *events) heard() bool { return e.notify != nil || e.listeners.Load() > 0 }

// record writes the log line. Progress is not logged.
func (e *events) record(ev Event) {
	level := slog.LevelInfo
	switch ev.Type {
	case EventProgress:
		return
	case EventStarted, EventScheduled, EventUnchanged:
		level = slog.LevelDebug
	case EventWarning, EventRestoreReset, EventQuarantined, EventRepaired:
		level = slog.LevelWarn
	case EventCaptured, EventAnchored:
		level = slog.LevelDebug
	case EventChainGap:
		level = slog.LevelDebug
		if ev.loud {
			level = slog.LevelWarn
		}
	case EventStored:
		if ev.Backup == "" {
			level = slog.LevelDebug
		}
	case EventReconciled, EventBreak, EventReceiver, EventRemote:
		if ev.loud {
			level = slog.LevelWarn
		}
	case EventDone:
		if ev.Message == "" { // other events say what was done
			level = slog.LevelDebug
		}
	case EventFailed:
		level = slog.LevelError
		if errors.Is(ev.Err, context.Canceled) {
			level = slog.LevelInfo // as asked
		}
	}
	e.log.LogAttrs(context.Background(), level, cmp.Or(ev.Message, string(ev.Type)), ev.attrs()...)
}

// attrs are the fields that a log line has.
func (ev Event) attrs() []slog.Attr {
	var attrs []slog.Attr
	for _, a := range []struct{ k, v string }{{"operation", string(ev.Operation)}, {"trigger", ev.Trigger}, {"phase", string(ev.Phase)},
		{"backup", ev.Backup}, {"point", ev.Point}, {"remote", ev.Remote}, {"path", ev.Path}, {"reason", ev.Reason}, {"who", ev.Who}} {
		if a.v != "" {
			attrs = append(attrs, slog.String(a.k, a.v))
		}
	}
	if ev.Type == EventProgress {
		attrs = append(attrs, slog.Int64("done", ev.Done), slog.Int64("total", ev.Total))
	}
	if !ev.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", ev.Next))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.String("error", ev.Err.Error()))
		if h := Hint(ev.Err); h != "" {
			attrs = append(attrs, slog.String("hint", h))
		}
	}
	return attrs
}

// LogValue groups the event's type, message and fields.
func (ev Event) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("type", string(ev.Type))}
	if ev.Message != "" {
		attrs = append(attrs, slog.String("message", ev.Message))
	}
	return slog.GroupValue(append(attrs, ev.attrs()...)...)
}

// String is the event as one line: its time, its message or type, and its fields.
func (ev Event) String() string {
	return message.Line(ev.At, cmp.Or(ev.Message, string(ev.Type)), ev.attrs())
}

// meter turns byte counts into progress events, at most ten a second.
func (e *events) meter(ctx context.Context, ev Event) func(done int64) {
	var last time.Time
	return func(done int64) {
		if !e.heard() {
			return
		}
		if now := e.now(); now.Sub(last) >= 100*time.Millisecond || done == ev.Total {
			last = now
			ev.Done = done
			e.emit(ctx, ev)
		}
	}
}

// Caller says on whose behalf something is done.
type Caller struct {
	// Who is a person or a program: "alice", "root (command line)".
	Who string
	// Run is an id that the caller chose for this one operation: its events bear it.
	Run string
}

type callerKey struct{}

// WithCaller returns a context for operations that are done on c's behalf. Their
// events, and their entries in the activity log, say so.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns the zero Caller for what the Manager does by itself.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
