package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"example.com/snapd/internal/activity"
)

// automatic is who does what nobody asked for.
const automatic = "automatic"

// journal writes the activity log.
type journal struct {
	log *activity.Log

	mu     sync.Mutex // guards what follows, and keeps entries in order
	idle   idleness
	causes map[string]bool // for which a warning was given
}

// idleness counts the automatic backups that were not needed. They alone cause no
// write: idle means idle.
type idleness struct {
	times       int
	since, last time.Time
	trigger     string // of the last
	backup      string // which covers the database
}

// enterEvent writes what ev ends into the log.
func (m *Manager) enterEvent(ev Event) {
	if ev.Type == EventUnchanged && ev.Who == "" && !ev.begun {
		m.act.mu.Lock()
		defer m.act.mu.Unlock()
		m.act.idle.add(ev)
		return
	}
	if r, ok := recordOf(ev); ok {
		m.write(r)
	}
}

// enter writes a, and before it what had waited for that.
func (m *Manager) enter(a Activity) { m.write(activity.Record{Entry: a}) }

func (m *Manager) write(a activity.Record) {
	if a.At.IsZero() {
		a.At = m.now()
	}
	if a.Who == "" {
		a.Who = automatic
	}
	if err := m.act.write(a); err != nil && m.act.worthTelling(err, m.cfg.Dir) {
		m.ev.emit(context.Background(), Event{Type: EventWarning, Err: explain(err), Message: "the activity log could not be written"})
	}
}

func (j *journal) write(a activity.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	records := []activity.Record{a}
	if j.idle.times > 0 {
		records = []activity.Record{{Entry: j.idle.entry()}, a}
	}
	if err := j.log.Write(records...); err != nil {
		return err
	}
	j.idle = idleness{}
	return nil
}

// worthTelling reports whether err has not been told before. Where there is no backup
// directory yet, there is nothing whose history anybody will ask for.
func (j *journal) worthTelling(err error, dir string) bool {
	if _, gone := os.Stat(dir); errors.Is(gone, fs.ErrNotExist) {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.causes == nil {
		j.causes = make(map[string]bool)
	}
	cause := Code(explain(err))
	told := j.causes[cause]
	j.causes[cause] = true
	return !told
}

// pending is the entry that waits to be written with the next one.
func (j *journal) pending() (a Activity, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.idle.entry(), j.idle.times > 0
}

func (i *idleness) add(ev Event) {
	if i.times == 0 {
		i.since = ev.At
	}
	i.times++
	i.last, i.trigger, i.backup = ev.At, ev.Trigger, ev.Backup
}

func (i *idleness) entry() Activity {
	a := Activity{At: i.last, Who: automatic, Action: "backup", Outcome: "unchanged", Backup: i.backup, Trigger: i.trigger}
	if i.times > 1 {
		since := i.since
		a.Since = &since
		a.Detail = fmt.Sprintf("no backup was needed, %d times since %s", i.times, since.Format(time.RFC3339))
	}
	return a
}

// recordOf is how an event stands in the log; ok is false for what does not.
func recordOf(ev Event) (a activity.Record, ok bool) {
	a = activity.Record{Entry: ev.more, Mark: ev.mark}
	a.At, a.Who, a.Operation = ev.At, ev.Who, ev.Run
	a.Action, a.Outcome = cmp.Or(a.Action, string(ev.Operation)), cmp.Or(a.Outcome, "done")
	a.Backup, a.Trigger = ev.Backup, ev.Trigger
	switch ev.Type {
	case EventBackedUp, EventRemoved:
	case EventVerified, EventDrilled, EventChecked, EventRestored, EventQuarantined, EventRepaired, EventRestoreReset:
		a.Detail = cmp.Or(a.Detail, ev.Message)
	case EventUnchanged:
		a.Outcome = "unchanged"
	case EventStarted:
		a.Outcome, a.Quiet = "running", true
	case EventDone:
		switch ev.Operation {
		case OpPrune, OpDelete, OpRecover:
			a.Quiet = true // the entries of its steps say what was done
		}
	case EventFailed:
		a.Outcome, a.Code, a.Detail, a.Hint = outcomeOf(ev.Err), Code(ev.Err), ev.Err.Error(), Hint(ev.Err)
		if a.Outcome == "cancelled" {
			a.Detail = "stopped before its end" // where it was interrupted is a matter of chance
		}
	default:
		return activity.Record{}, false
	}
	return a, true
}

// outcomeOf is how an operation ended that returned err.
func outcomeOf(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, ErrRefused), errors.Is(err, ErrStale):
		return "refused"
	}
	return "failed"
}
