package snapshot

import (
	"context"
	"sync/atomic"
	"time"

	"example.com/snapd/internal/notify"
)

// Notifications, under this package's name.
type (
	// Receiver is notified when the protection stops, and when it is back: see [Config].
	Receiver = notify.Receiver
	// ReceiverStatus is how a receiver does.
	ReceiverStatus = notify.Status
	// ReceiverState says that in a word.
	ReceiverState = notify.State
	// NotifyKind says what a message is about: "at_risk", for example.
	NotifyKind = notify.Kind
	// NotifyFormat is the form of a webhook's body: "json", "slack", "discord", "ntfy" or "gotify".
	NotifyFormat = notify.Format
	// Secret is a text that is never printed.
	Secret = notify.Secret
)

// The states of a receiver.
const (
	ReceiverOK, ReceiverFailing      = notify.StateOK, notify.StateFailing
	ReceiverUntried, ReceiverUnknown = notify.StateUntried, notify.StateUnknown
)

// notifying notifies the receivers of a Run. A nil one has none.
type notifying struct {
	*notify.Notifier
	stop func()
}

// startNotifying notifies the receivers, in a goroutine, until end is called. nil where there are none.
func startNotifying(ctx context.Context, m *Manager, life *lifeSign) *notifying {
	all := m.present.Load().Notify
	if len(all) == 0 {
		if err := notify.Forget(m.cfg.Dir); err != nil {
			m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "receivers that are no longer configured are still shown"})
		}
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the shutdown backup is reported, too
	n := &notifying{Notifier: notify.New(notify.Options{
		Receivers: all, Dir: m.cfg.Dir, Log: m.act.Log(), Revision: m.Revision,
		Away:   func() bool { return m.cat.CheckPlace() != nil },
		Look:   func(ctx context.Context) ([]notify.Condition, bool, error) { return conditions(ctx, m, life) },
		Report: func(name string, err error) { m.ev.emit(ctx, receiverEvent(name, err)) },
		Warn: func(err error) {
			m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "messages to receivers may be sent twice, or late"})
		},
	})}
	unsubscribe := m.Subscribe(func(ev Event) {
		switch ev.Type {
		case EventCaptured, EventAnchored: // each second
		case EventProgress, EventStarted:
			life.heard(ev)
			if ev.Type == EventStarted && ev.Operation == OpBackup {
				n.Wake()
			}
		default:
			life.heard(ev)
			n.Wake()
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	n.stop = func() {
		m.notifying.Store(nil)
		unsubscribe()
		cancel()
		<-done
	}
	m.notifying.Store(n)
	return n
}

// NotifyOnce sends the receivers of m what is due now, for a second at most: for a program that does not come to
// its Run, because [Manager.Recover] found no way. What could not be sent is sent by the next Run. Call it only where no Run is at work.
func NotifyOnce(ctx context.Context, m *Manager) { startNotifying(ctx, m, new(lifeSign)).end() }

// end sends what is due, for a second at most.
func (n *notifying) end() {
	if n != nil {
		n.stop()
	}
}

// receiverEvent reports that a receiver fails, or answers again.
func receiverEvent(name string, err error) Event {
	ev := Event{Type: EventReceiver, Err: err, Message: "notifications reach " + name + " again", more: Activity{Action: "notify"}}
	if err != nil {
		ev.Message, ev.loud, ev.more.Outcome = "notifications do not reach "+name, true, "failed"
	}
	ev.more.Detail = ev.Message
	if err != nil {
		ev.more.Detail += ": " + err.Error()
	}
	return ev
}

// conditions are what stands now; alive reports whether the Run is at work.
func conditions(ctx context.Context, m *Manager, life *lifeSign) (all []notify.Condition, alive bool, err error) {
	f, err := gatherFacts(ctx, m)
	if err != nil {
		return nil, life.alive(m.now()), err
	}
	s := f.Status()
	s.FreeBytes = freeBytes(m)
	return f.Conditions(s), life.alive(m.now()), nil
}

// receivers is how the receivers do, from the Run of this Manager or from what another one left.
func receivers(m *Manager) []ReceiverStatus {
	if n := m.notifying.Load(); n != nil {
		return n.Status()
	}
	return notify.Read(m.cfg.Dir)
}

// lifeSign is when a Run was last seen at work: its loop looks around twice a minute, and what it does has progress.
type lifeSign struct{ at atomic.Int64 }

// lifeless is how long a Run may be silent. A check of a large database says nothing meanwhile.
const lifeless = 15 * time.Minute

func (l *lifeSign) give(now time.Time) { l.at.Store(now.UnixNano()) }

// heard takes an event of what the Manager does by itself for a sign.
func (l *lifeSign) heard(ev Event) {
	if ev.Who == "" {
		l.give(ev.At)
	}
}

func (l *lifeSign) alive(now time.Time) bool {
	return now.Sub(time.Unix(0, l.at.Load())).Abs() < lifeless
}
