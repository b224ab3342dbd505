package snapshot

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"

	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// Copies off this machine.
type (
	// Remote is a place off this machine to which Run sends copies.
	Remote = remote.Remote
	// RemoteStatus is how far one remote is.
	RemoteStatus = remote.Status
	// RemoteState says that in a word.
	RemoteState = remote.State
)

const (
	RemoteCurrent, RemoteSending = remote.Current, remote.Sending
	RemoteBehind, RemoteFailing  = remote.Behind, remote.Failed
	RemoteStopped                = remote.Stopped
)

// startReplicating sends to the remotes until end is called.
func startReplicating(ctx context.Context, m *Manager) (end func()) {
	configured := m.present.Load().Remotes
	all, names := make([]remote.Options, 0, len(configured)), make([]string, 0, len(configured))
	for _, r := range configured {
		all, names = append(all, sending(m, r)), append(names, r.Name)
	}
	if err := remote.Retire(m.cfg.Dir, names); err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "remotes that are no longer configured are still shown"})
	}
	if len(all) == 0 {
		return func() {}
	}
	group := remote.Start(ctx, all, m.cat.Revision)
	forget := m.Subscribe(func(ev Event) {
		switch ev.Type {
		case EventCaptured:
			group.Captured()
		case EventBackedUp, EventVerified, EventRemoved, EventDone:
			group.Changed()
		}
	})
	return func() {
		forget()
		group.End()
	}
}

func sending(m *Manager, r Remote) remote.Options {
	return remote.Options{
		Name: r.Name, Where: remote.Where(r.URL), Database: filepath.Base(m.cfg.Database), Dir: m.cfg.Dir, Sealed: r.Sealed(), Now: m.now,
		Host: &remoteHost{Facts: factsOf(m), m: m, remote: r},
		Open: func(ctx context.Context, id string) (remote.Place, error) {
			return remote.Open(ctx, r, id, filepath.Join(m.cfg.Dir, remote.Dir))
		},
		Settings: func() remote.Settings {
			tiers := m.present.Load().KeepPoints
			return remote.Settings{Keep: r.Retention, Delete: !r.NoDelete, Period: r.Period, Points: tiers[len(tiers)-1].Until}
		},
	}
}

func factsOf(m *Manager) *remote.Facts {
	return &remote.Facts{Catalog: m.cat, Replaced: func() int64 { return m.present.Load().keepReplaced() }}
}

// remoteHost is what a sender needs of a Manager.
type remoteHost struct {
	*remote.Facts
	m      *Manager
	remote Remote
}

func (h *remoteHost) Open(b Backup) (remote.File, error) { return catalogfile.OpenFile(h.m.cat, b) }

func (h *remoteHost) Seal() error {
	if c := h.m.capturing.Load(); c != nil {
		return c.SealOlder(0)
	}
	return nil
}

// Code is the stable word for an error of a remote.
func (h *remoteHost) Code(err error) string {
	for _, c := range []struct {
		is   error
		code string
	}{
		{remote.ErrOtherWriter, "other_writer"}, {remote.ErrOtherPlace, "other_place"}, {seal.ErrRecipients, "recipients"},
		{store.ErrDenied, "denied"}, {store.ErrGone, "unreachable"}, {store.ErrFull, "no_space"}, {store.ErrThrottled, "throttled"},
	} {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	if errors.As(err, new(net.Error)) {
		return "unreachable"
	}
	return Code(explain(err))
}

// remoteOutcomes are the words of the activity log for what a sender reports, and whether it is logged as a warning.
var remoteOutcomes = map[remote.EventKind]struct {
	outcome string
	loud    bool
}{
	remote.Sent: {"stored", false}, remote.SentMore: {"stored", false}, remote.Removed: {"removed", false}, remote.Proven: {"proven", false},
	remote.Working: {"resumed", true}, remote.Failing: {"failed", true}, remote.Fenced: {"stopped", true}, remote.Damaged: {"damaged", true},
	remote.Intruder: {"refused", true}, remote.Notice: {"noticed", true},
}

// Tell makes an event of what a sender reports.
func (h *remoteHost) Tell(e remote.Event) {
	o := remoteOutcomes[e.Kind]
	ev := Event{Type: EventRemote, Backup: e.Backup, Point: e.Point, Remote: h.remote.Name, Message: e.Message, Err: e.Err, loud: o.loud}
	ev.more = Activity{Action: "remote", Outcome: o.outcome, Detail: e.Message, ArchiveBytes: e.Bytes}
	if e.Err != nil {
		ev.more.Detail += ": " + e.Err.Error()
		ev.more.Code = h.Code(e.Err)
	}
	if e.Kind == remote.Sent || e.Kind == remote.SentMore {
		ev.Type = EventStored
	}
	h.m.ev.emit(context.Background(), ev)
}

// unsent says of a backup that is to be removed here to which remotes it was still to be sent.
func unsent(ctx context.Context, m *Manager) func(id string) string {
	waiting, err := remote.Unsent(ctx, factsOf(m), m.now())
	if err != nil {
		waiting = nil // the sender says what is wrong
	}
	return func(id string) string {
		if len(waiting[id]) == 0 {
			return ""
		}
		return ", of which no copy was sent to " + strings.Join(waiting[id], ", ") + " yet"
	}
}
