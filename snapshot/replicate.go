package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/recovery"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/swap"
)

// Copies off this machine.
type (
	// Remote is a place off this machine to which Run sends copies.
	Remote = remote.Remote
	// RemoteStatus is how far one remote is.
	RemoteStatus = remote.Status
	// RemoteState says that in a word.
	RemoteState = remote.State
	// RemoteProbe is one thing that CheckRemote tried.
	RemoteProbe = remote.Probe
	// RemoteVerified is what VerifyRemote found.
	RemoteVerified = remote.Verified
	// RemoteWrong is an object that is not what was stored.
	RemoteWrong = remote.Wrong
)

const (
	RemoteCurrent, RemoteSending = remote.Current, remote.Sending
	RemoteBehind, RemoteFailing  = remote.Behind, remote.Failed
	RemoteStopped                = remote.Stopped
)

// startSending sends to the remotes of the present configuration until end is called.
func startSending(ctx context.Context, m *Manager) (end func()) {
	group := remote.Start(ctx, m.cat.Revision)
	m.sending.Store(group)
	sendToConfigured(ctx, m)
	forget := m.Subscribe(func(ev Event) {
		switch ev.Type {
		case EventCaptured:
			group.Captured()
		case EventBackedUp, EventVerified, EventRemoved, EventDone:
			group.Changed()
		}
	})
	return func() {
		m.sending.Store(nil)
		forget()
		group.End()
	}
}

// sendToConfigured has the Run that is at work send to the remotes of the present configuration, and to no others.
func sendToConfigured(ctx context.Context, m *Manager) {
	configured := m.present.Load().Remotes
	all, names := make([]remote.Options, 0, len(configured)), make([]string, 0, len(configured))
	for _, r := range configured {
		all, names = append(all, sendingTo(m, r)), append(names, r.Name)
	}
	m.sending.Load().Set(all)
	if err := remote.Retire(m.cfg.Dir, names); err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "remotes that are no longer configured are still shown"})
	}
}

func sendingTo(m *Manager, r Remote) remote.Options {
	keys, _ := keysOf(r) // what is wrong with them is said by Open
	return remote.Options{
		Name: r.Name, Where: remote.Where(r.URL), Database: filepath.Base(m.cfg.Database), Dir: m.cfg.Dir, Sealed: r.Sealed(), Now: m.now,
		As:   [2]any{r, keys},
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

// keysOf are the public keys for which copies are encrypted; none where they are not.
func keysOf(r Remote) ([]string, error) {
	if !r.Sealed() {
		return nil, nil
	}
	keys, err := remote.Keys(r)
	return keys.Strings(), err
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

// Suspect proves a backup whose archive was not what it should be; where it is damaged that is recorded, and said.
func (h *remoteHost) Suspect(ctx context.Context, b Backup) {
	if _, err := h.m.Verify(ctx, b.ID, LevelQuick); err == nil {
		h.Report(remote.Event{Kind: remote.Notice, Backup: b.ID, Message: "backup " + b.ID + " was read otherwise than it is stored, and is whole: look at the disk, or the memory"})
	}
}

func (h *remoteHost) Seal() error {
	if c := h.m.capturing.Load(); c != nil {
		return c.SealOlder(0)
	}
	return nil
}

// Code is the stable word for an error of a remote.
func (h *remoteHost) Code(err error) string { return Code(explain(err)) }

// remoteOutcomes are the words of the activity log for what a sender reports, and whether it is logged as a warning.
var remoteOutcomes = map[remote.EventKind]struct {
	outcome string
	loud    bool
}{
	remote.Sent: {"stored", false}, remote.SentMore: {"stored", false}, remote.Removed: {"removed", false}, remote.Proven: {"proven", false},
	remote.Working: {"resumed", true}, remote.Failing: {"failed", true}, remote.Fenced: {"stopped", true}, remote.Damaged: {"damaged", true},
	remote.Intruder: {"refused", true}, remote.Notice: {"noticed", true},
}

// Report makes an event of what a sender reports.
func (h *remoteHost) Report(e remote.Event) {
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

// CheckRemote tries what the remote of that name has to do, with an object of its own, which it removes. An error says that nothing
// could be tried.
func CheckRemote(ctx context.Context, m *Manager, name string) ([]RemoteProbe, error) {
	place, _, err := openRemote(ctx, m, name)
	if err != nil {
		return nil, explain(fmt.Errorf("check remote %s: %w", name, err))
	}
	return remote.Check(ctx, place), nil
}

// VerifyRemote proves every copy at the remote of that name: by the store's checksums or, with readBack, by downloading and
// comparing it. Damage is in the result; an error says that something could not be found out. While no Run is at work, what it found is
// remembered, and the next one sends again what is damaged.
func VerifyRemote(ctx context.Context, m *Manager, name string, readBack bool) (RemoteVerified, error) {
	place, l, err := openRemote(ctx, m, name)
	if err != nil {
		return RemoteVerified{}, explain(fmt.Errorf("verify remote %s: %w", name, err))
	}
	v, copies, err := remote.Verify(ctx, place.Store, l, readBack, m.now())
	if err != nil {
		return v, explain(err)
	}
	lock, err := m.cat.LockServe(ctx)
	if err != nil {
		return v, nil // the Run that is at work has its own account
	}
	defer lock.Unlock()
	return v, remote.Remember(m.cfg.Dir, name, copies)
}

// SyncRemote sends to the remote of that name what is missing there, now, however lately that failed, and returns how far it is then.
// A Run of this Manager does it, where one is at work; where ctx ends first, that one goes on. Else it is done here. Errors: [ErrNotFound];
// [ErrBusy] where another Run has this backup directory.
func (m *Manager) SyncRemote(ctx context.Context, name string) (s RemoteStatus, err error) {
	op := &operation{kind: OpSync, remote: name, lockFree: true, result: func() any { return s }}
	err = m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		r, err := configuredRemote(m, name)
		if err != nil {
			return Event{}, err
		}
		m.start(ctx, "")
		if err := m.sync(ctx, r); err != nil {
			if err = fmt.Errorf("sync: %w", err); Hint(err) == "" {
				err = hint(err, "what is missing is sent once the remote can be used; snapd remote check "+name+" tries it")
			}
			return Event{}, err
		}
		all, err := remote.Statuses(ctx, factsOf(m), []Remote{r}, m.now())
		if err != nil {
			return Event{}, err
		}
		s = all[slices.IndexFunc(all, func(s RemoteStatus) bool { return s.Name == name })]
		what := fmt.Sprintf("all that is to be at remote %s is there: %d backups", name, s.Backups)
		return Event{Type: EventDone, Message: what, more: Activity{Detail: what}}, nil
	})
	return s, err
}

func (m *Manager) sync(ctx context.Context, r Remote) error {
	moved := func(done, total int64) {
		m.ev.emit(ctx, Event{Type: EventProgress, Operation: OpSync, Remote: r.Name, Phase: PhaseSend, Done: done, Total: total})
	}
	if group := m.sending.Load(); group != nil {
		if known, err := group.Sync(ctx, r.Name, moved); known {
			return err
		}
	}
	if err := durable.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return err
	}
	lock, err := m.cat.LockServe(ctx)
	if err != nil {
		return hint(err, "the serve that is at work sends by itself; status says how far it is")
	}
	defer lock.Unlock()
	return remote.Once(ctx, sendingTo(m, r), moved)
}

// openRemote opens a configured remote, and what is known of it.
func openRemote(ctx context.Context, m *Manager, name string) (place remote.Place, l remote.Ledger, err error) {
	r, err := configuredRemote(m, name)
	if err != nil {
		return place, l, err
	}
	l, err = remote.ReadLedger(m.cfg.Dir, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return place, l, err
	}
	place, err = remote.Open(ctx, r, l.PlaceAt(r.URL), "")
	return place, l, err
}

func configuredRemote(m *Manager, name string) (Remote, error) {
	for _, r := range m.present.Load().Remotes {
		if r.Name == name {
			return r, nil
		}
	}
	return Remote{}, hint(fmt.Errorf("remote %q: %w: it is not configured", name, ErrNotFound), "name it in a [[remote]] of the configuration file, and that with --config")
}

// AdoptRemote makes the remote of that name this directory's, whichever directory wrote there before, and returns who that was. What is there stays;
// a new timeline begins here, so that nothing of it is overwritten or counted as this one's. Errors: [ErrBusy] while a Run is at work.
func AdoptRemote(ctx context.Context, m *Manager, name string) (before string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("adopt remote %s: %w", name, explain(err))
		}
	}()
	r, err := configuredRemote(m, name)
	if err != nil {
		return "", err
	}
	if err := durable.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return "", err
	}
	lock, err := m.cat.LockServe(ctx)
	if err != nil {
		return "", hint(err, "stop serve first")
	}
	defer lock.Unlock()
	all, state, err := m.cat.Read()
	if err != nil {
		return "", err
	}
	a, err := remote.Adopt(ctx, sendingTo(m, r), catalog.PresentOf(slices.Values(all), state).Number, func(a remote.Adopted) error {
		return catalogfile.BeginAfter(ctx, m.cat, a.Timeline-1, a.Number, "remote "+name+" was adopted", m.now())
	})
	if err == nil {
		m.Record(Activity{Who: callerOf(ctx).Who, Action: "remote", Outcome: "adopted", Detail: name + "; before: " + cmp.Or(a.Before, "none")})
	}
	return a.Before, err
}

// stageFrom stages a backup of a way out: one that is here, or a copy at a remote.
func (r *recovering) stageFrom(ctx context.Context, way recovery.Option, e Backup) (swap.Swap, error) {
	if way.Remote == nil {
		return r.replacer(ctx, e.ID).Stage(ctx, e, r.m.cfg.RecoverLevel)
	}
	in, err := r.stageCopy(ctx, way, e)
	if err != nil && ctx.Err() == nil && remote.Unusable(err) {
		err = failure.As(ErrCorrupt, err)
	}
	return in, err
}

// stageCopy unpacks a copy next to the database, and proves it. What is made here from then on comes after all that is there: a place has
// room for one history.
func (r *recovering) stageCopy(ctx context.Context, way recovery.Option, e Backup) (in swap.Swap, err error) {
	image, err := r.found.Copy(ctx, way, e)
	if err != nil {
		return in, err
	}
	place, level := r.replacer(ctx, e.ID), LevelQuick
	f, err := remote.Stage(ctx, image, r.m.cfg.Database, remote.UnpackOptions{Check: &level, Progress: place.Phase(PhaseUnpack, image.Shape().Bytes())})
	if err != nil {
		return in, err
	}
	timeline, number := r.found.LastOf(way)
	if err := catalogfile.BeginAfter(ctx, r.m.cat, timeline, number+1, "the history at remote "+*way.Remote+" goes on here", r.m.now()); err != nil {
		return in, errors.Join(err, f.Discard())
	}
	return swap.Swap{Staged: f, Sum: e.ImageBLAKE3, Note: swap.Note{Backup: e.ID, Base: image.PointBase()}}, nil
}
