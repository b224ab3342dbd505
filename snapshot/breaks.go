package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/points"
)

// Break says that the live file is no longer the database that was backed up.
//
// Each backup looks for one before it is taken, and Run twice a minute when something changed: a break is recorded as a new timeline, or as
// a missing database, and reported once. Until it is accepted the backups from before are counted by themselves (catalog.Plan), for thirty days.
type Break = breaks.Break

// see looks at the database.
func see(ctx context.Context, c *Config) (breaks.Sight, error) {
	return breaks.See(ctx, c.Database, c.named, min(c.LockWait, statusPatience))
}

// notice records what was seen, and reports it. The caller holds the operation lock.
func notice(ctx context.Context, m *Manager, s breaks.Sight) (c breaks.Change, err error) {
	all, state, err := m.cat.Read()
	if err != nil {
		return c, err
	}
	if c = breaks.Judge(all, state, s); c.None() {
		return c, nil
	}
	at := m.now()
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		all := tx.Entries()
		c = breaks.Judge(all, *tx.State(), s)
		c.Apply(all, tx.State(), at, points.Logged(m.cfg.Dir))
		return nil
	})
	if err != nil || c.None() {
		return c, err
	}
	m.ev.emit(ctx, breakEvent(c, m.cfg.Database, m.present.Load().KeepReplaced))
	return c, nil
}

// breakEvent reports the change; kept is Config.KeepReplaced.
func breakEvent(c breaks.Change, database string, kept time.Duration) Event {
	before := "the newest backup from before is kept"
	if kept >= 0 {
		before = fmt.Sprintf("the backups from before are kept for %d days", cmp.Or(kept, DefaultKeepReplaced)/(24*time.Hour))
	}
	ev := Event{Type: EventBreak, Path: database, Backup: c.From.ID, loud: true, more: Activity{Action: "break", Outcome: "noticed"}}
	switch {
	case c.Gone != "":
		ev.Message, ev.Reason = "there is no database to back up", c.What
	case c.Began.Loss():
		ev.Message, ev.Reason = "the database was "+c.Began.Verb()+"; "+before+", or until that is accepted", c.What
	case c.Began.Break():
		ev.Message, ev.Reason = "the database was replaced; "+before, c.What
	default:
		ev.Message, ev.loud, ev.more.Outcome = "the database is back", false, "over"
	}
	ev.more.Detail = ev.Message
	if ev.Reason != "" {
		ev.more.Detail += ": " + ev.Reason
	}
	return ev
}

// breakOf is the break that stands as of now, recorded or not. Where the database cannot be looked at it is the recorded one.
func breakOf(ctx context.Context, m *Manager, now time.Time) (*Break, error) {
	all, state, err := m.cat.Read()
	if err != nil {
		return nil, err
	}
	if s, err := see(ctx, &m.cfg); err == nil && state.Restoring == nil { // else a restore is about to say what it did
		if c := breaks.Judge(all, state, s); !c.None() {
			c.Apply(all, &state, now, points.Logged(m.cfg.Dir))
		}
	}
	return breaks.Unaccepted(all, state, now), ctx.Err()
}

// AcceptBreak says that the database that is there now is the one to protect: the backups from before a break
// are counted with those since, and the status does not report the break any more. It looks at the database first, so
// it may follow at once what replaced the database. It returns what was accepted, nil where there was no
// break. Errors: [ErrBusy], [ErrRefused] where there is no database.
func (m *Manager) AcceptBreak(ctx context.Context) (accepted *Break, err error) {
	err = m.perform(ctx, &operation{kind: OpAccept}, func(ctx context.Context) (Event, error) {
		s, err := see(ctx, &m.cfg)
		if err == nil {
			_, err = notice(ctx, m, s)
		}
		if err != nil {
			return Event{}, fmt.Errorf("accept: %w", err)
		}
		if s.Gone != "" {
			return Event{}, hint(fmt.Errorf("accept: %w: there is no database to accept: %s", ErrRefused, s.What), "put the database back, or run recover")
		}
		err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
			if accepted = breaks.Unaccepted(tx.Entries(), *tx.State(), m.now()); accepted != nil {
				tx.State().Accepted = tx.Present().Number
			}
			return nil
		})
		switch {
		case err != nil:
			return Event{}, fmt.Errorf("accept: %w", err)
		case accepted == nil:
			return Event{Type: EventDone, Message: "there is no break to accept", more: Activity{Outcome: "unchanged", Detail: "there is no break"}}, nil
		}
		return Event{Type: EventDone, Message: "break accepted: " + accepted.What, more: Activity{Detail: accepted.What}}, nil
	})
	return accepted, err
}

// lookEvery is how often Run looks for a break, at most.
const lookEvery = 25 * time.Second

// breakWatch looks for breaks while a Run is at work.
type breakWatch struct {
	at   time.Time          // of the last look
	seen livedb.Fingerprint // that nothing is to be said of; zero for none
	due  uint64             // the timeline for which a backup was asked
}

// look looks where something changed since the last look, and reports whether what it found makes a backup due.
// It never waits for another operation: the next look sees what that one leaves.
func (w *breakWatch) look(ctx context.Context, m *Manager, now time.Time) (due bool) {
	if now.Sub(w.at).Abs() < lookEvery {
		return false
	}
	w.at = now
	fingerprint, err := livedb.FingerprintIfAny(m.cfg.Database)
	if real, rerr := livedb.Resolve(m.cfg.named); err == nil && rerr == nil && real == m.cfg.Database && fingerprint.Main.Present && fingerprint.Same(w.seen) {
		return false // idle
	}
	w.seen = livedb.Fingerprint{}
	s, err := see(ctx, &m.cfg)
	if err != nil {
		return false // what is wrong is the next backup's to report
	}
	all, state, err := m.cat.Read()
	if err != nil {
		return false
	}
	if breaks.Judge(all, state, s).None() {
		w.seen = fingerprint
		return w.first(all, state)
	}
	// It may be a restore of another process that is not recorded yet: look again while none can be at work.
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	unlock, err := m.operate(soon, "look for a break")
	if err != nil {
		return false
	}
	defer unlock()
	if s, err = see(ctx, &m.cfg); err != nil {
		return false
	}
	c, err := notice(ctx, m, s)
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Path: m.cfg.Database, Err: err, Message: "a break could not be recorded"})
		return false
	}
	return c.Began != "" || c.Back
}

// first reports once whether there is no backup of a timeline that a break began: accept may have seen it first.
func (w *breakWatch) first(all []Backup, state State) bool {
	p := catalog.PresentOf(slices.Values(all), state)
	if !p.Cause.Break() || p.Number == w.due || slices.ContainsFunc(all, func(b Backup) bool { return b.Timeline.Number == p.Number }) {
		return false
	}
	w.due = p.Number
	return true
}
