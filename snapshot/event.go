package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
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
	EventRestored     EventType = "restored"      // a restore or a recovery ended well
	EventRepaired     EventType = "repaired"      // the database was mended from what it holds
	EventQuarantined  EventType = "quarantined"   // a corrupt database was preserved at Path
	EventRemoved      EventType = "removed"       // a backup was pruned or deleted
	EventReconciled   EventType = "reconciled"    // the catalog was brought in line with the directory
	EventFailed       EventType = "failed"        // an operation failed: Err
	EventWarning      EventType = "warning"       // worth a look, e.g. violations
	EventScheduled    EventType = "scheduled"     // the next automatic backup is due at Next
	EventRestoreReset EventType = "restore_reset" // a half-done restore was finished or undone
)

// Event is one thing that happened. Fields that do not apply are zero.
type Event struct {
	At        time.Time
	Type      EventType
	Operation string // "backup", "restore", "verify", "recover", "prune", "check"
	Trigger   string // of a backup
	Phase     string // "check", "spool", "compress", "read back", "unpack", "write"
	Backup    string // id
	Path      string
	Done      int64 // bytes
	Total     int64 // bytes
	Message   string
	Next      time.Time
	Err       error

	loud bool // logged as a warning
}

// events hands events to the logger and to the host, one at a time.
type events struct {
	mu     sync.Mutex // serialises the host's callback
	notify func(Event)
	log    *slog.Logger
	now    func() time.Time
}

func (e *events) emit(ev Event) {
	ev.At = e.now().UTC()
	e.record(ev)
	if e.notify != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.notify(ev)
	}
}

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
	case EventReconciled:
		if ev.loud {
			level = slog.LevelWarn
		}
	case EventFailed:
		level = slog.LevelError
		if errors.Is(ev.Err, context.Canceled) {
			level = slog.LevelInfo // somebody wanted it
		}
	}
	var attrs []slog.Attr
	for _, a := range []struct{ k, v string }{{"operation", ev.Operation}, {"trigger", ev.Trigger}, {"backup", ev.Backup}, {"path", ev.Path}} {
		if a.v != "" {
			attrs = append(attrs, slog.String(a.k, a.v))
		}
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
	msg := ev.Message
	if msg == "" {
		msg = string(ev.Type)
	}
	e.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// meter turns byte counts into progress events, at most ten a second.
func (e *events) meter(ev Event) func(done int64) {
	var last time.Time
	ev.Type = EventProgress
	return func(done int64) {
		if e.notify == nil {
			return
		}
		if now := e.now(); now.Sub(last) >= 100*time.Millisecond || done == ev.Total {
			last = now
			ev.Done = done
			e.emit(ev)
		}
	}
}
