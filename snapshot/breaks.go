package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// Break says that the live file is no longer the database that was backed up.
//
//	see        what is there: a database with its facts, or the cause why there is none
//	judge      is it the one of the newest backup? (pure)
//	record     a new timeline begins, or there is no database; told once
//
// Each backup does that before it is taken, and Run twice a minute when something changed. Until a break is
// accepted the backups from before are counted by themselves (catalog.Plan), for thirty days.
type Break struct {
	At    time.Time `json:"at"`
	Cause Cause     `json:"cause"`
	What  string    `json:"what"` // in one sentence
	// Before is the newest backup from before it; nil where it is not known, or there is no database.
	Before *string `json:"before"`
}

// harmless: the file was replaced, and nothing is known to be lost.
func (b *Break) harmless() bool { return b.Cause == lineage.Replaced }

// sight is what a look at the live database saw.
type sight struct {
	gone  Cause // why there is no database; "" where there is one
	what  string
	facts lineage.Facts
}

// see looks at the database. An error is that it could not be looked at.
func see(ctx context.Context, c *Config) (sight, error) {
	if real, err := livedb.Resolve(c.named); err == nil && real != c.Database {
		return sight{gone: lineage.Link, what: fmt.Sprintf("%s leads to %s now, and %s is what is backed up; if that is wanted, start again", c.named, real, c.Database)}, nil
	}
	st, err := os.Stat(c.Database)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sight{gone: lineage.Missing, what: "the file is gone"}, nil
	case err != nil:
		return sight{}, err
	case !st.Mode().IsRegular():
		return sight{gone: lineage.NoFile, what: "what has its name is no file: " + st.Mode().Type().String()}, nil
	case st.Size() == 0:
		if log, err := os.Stat(sqlitefile.WAL(c.Database)); err != nil || log.Size() == 0 {
			return sight{gone: lineage.Blank, what: "the file has zero bytes"}, nil
		}
	}
	fingerprint, err := livedb.TakeFingerprint(c.Database)
	if err != nil {
		return sight{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, min(c.LockWait, statusPatience))
	defer cancel()
	tx, err := livedb.Begin(ctx, c.Database, livedb.Options{AvoidReadMark0: true, InPlace: true})
	if err != nil {
		return sight{}, err
	}
	facts, err := tx.Lineage(ctx)
	return sight{facts: fingerprint.Lineage(facts)}, errors.Join(err, tx.Close())
}

// change is what a sight means for the timeline.
type change struct {
	began Cause // a break, or Returned
	gone  Cause
	back  bool // there is a database again
	what  string
	from  Backup // of before the break, or what came back
}

// none reports whether everything is as recorded.
func (c change) none() bool { return c.began == "" && c.gone == "" && !c.back }

// judge compares what was seen with the newest backup. all comes newest first.
func judge(all []Backup, state State, s sight) (c change) {
	if s.gone != "" {
		held := slices.ContainsFunc(all, func(b Backup) bool { return b.DatabaseBytes > 0 })
		if held && (state.Gone == nil || state.Gone.Cause != s.gone) {
			c.gone, c.what = s.gone, s.what
		}
		return c
	}
	c.back = state.Gone != nil
	lost, _ := catalog.Standing(all, state)
	for _, p := range []catalog.Present{catalog.PresentOf(slices.Values(all), state), lost} {
		i := slices.IndexFunc(all, func(b Backup) bool { return p.Cause.Break() && b.ID == p.From })
		if i >= 0 && isBack(factsOf(all[i]), s.facts) {
			c.began, c.from = lineage.Returned, all[i]
			return c
		}
	}
	if before, ok := catalog.Predecessor(slices.Values(all), state); ok {
		then := factsOf(before)
		if state.Placed { // a recovery or a restore put another file there since
			then.File = 0
		}
		c.began, c.what = lineage.Judge(then, s.facts)
		c.from = before
	}
	return c
}

// isBack reports whether now is the very database of then. After a rebuild its file is not known.
func isBack(then, now lineage.Facts) bool {
	cause, _ := lineage.Judge(then, now)
	known := then.File != 0 && now.File != 0
	return cause == "" && (known || then.Counter != 0 && then.Counter == now.Counter && then.UsedBytes == now.UsedBytes)
}

// factsOf are those of the database of e when it was backed up.
func factsOf(e Backup) lineage.Facts {
	o := catalogfile.OriginOf(e)
	return o.Lineage(o.Contents)
}

// apply records c. all comes newest first.
func (c change) apply(all []Backup, state *State, at time.Time) {
	present := catalog.PresentOf(slices.Values(all), *state)
	if c.gone != "" {
		state.Gone = &catalog.Gone{At: at, Cause: c.gone, What: c.what}
		return
	}
	state.Gone = nil
	unused := !slices.ContainsFunc(all, func(b Backup) bool { return b.Timeline.Number == present.Number })
	switch {
	case c.began == "":
	case c.began == lineage.Returned && unused && c.from.Timeline.Number == present.Number-1:
		state.TakeBack(c.from.Timeline) // as if nothing had been
	default:
		state.Begin(present, c.began, c.from, c.what, catalog.NotBefore(all, at))
	}
}

// notice records what was seen, and reports it. The caller holds the operation lock.
func notice(ctx context.Context, m *Manager, s sight) (c change, err error) {
	all, state, err := m.cat.Read()
	if err != nil {
		return c, err
	}
	if c = judge(all, state, s); c.none() {
		return c, nil
	}
	at := m.now()
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		all := tx.Entries()
		c = judge(all, *tx.State(), s)
		c.apply(all, tx.State(), at)
		return nil
	})
	if err != nil || c.none() {
		return c, err
	}
	m.ev.emit(ctx, c.event(m.cfg.Database, m.present.Load().KeepReplaced))
	return c, nil
}

// event reports the change; kept is Config.KeepReplaced.
func (c change) event(database string, kept time.Duration) Event {
	before := "the newest backup from before is kept"
	if kept >= 0 {
		before = fmt.Sprintf("the backups from before are kept for %d days", cmp.Or(kept, DefaultKeepReplaced)/(24*time.Hour))
	}
	ev := Event{Type: EventBreak, Path: database, Backup: c.from.ID, loud: true, more: Activity{Action: "break", Outcome: "noticed"}}
	switch {
	case c.gone != "":
		ev.Message, ev.Reason = "there is no database to back up", c.what
	case c.began.Loss():
		ev.Message, ev.Reason = "the database was "+c.began.Verb()+"; "+before+", or until that is accepted", c.what
	case c.began.Break():
		ev.Message, ev.Reason = "the database was replaced; "+before, c.what
	default:
		ev.Message, ev.loud, ev.more.Outcome = "the database is back", false, "over"
	}
	ev.more.Detail = ev.Message
	if ev.Reason != "" {
		ev.more.Detail += ": " + ev.Reason
	}
	return ev
}

// standing is the break that is recorded and not over, nil for none.
func standing(all []Backup, state State, now time.Time) *Break {
	if g := state.Gone; g != nil {
		return &Break{At: g.At.UTC(), Cause: g.Cause, What: g.What}
	}
	p, ok := catalog.Standing(all, state)
	if !ok || p.Cause == lineage.Replaced && now.Sub(p.Began()) >= state.KeepsReplaced() {
		return nil
	}
	b := &Break{At: p.Began().UTC(), Cause: p.Cause, What: p.What}
	if slices.ContainsFunc(all, func(e Backup) bool { return e.ID == p.From }) {
		b.Before = &p.From
	}
	return b
}

// breakOf is the break that stands as of now, recorded or not. Where the database cannot be looked at it is the recorded one.
func breakOf(ctx context.Context, m *Manager, now time.Time) (*Break, error) {
	all, state, err := m.cat.Read()
	if err != nil {
		return nil, err
	}
	if s, err := see(ctx, &m.cfg); err == nil && state.Restoring == nil { // else a restore is about to say what it did
		if c := judge(all, state, s); !c.none() {
			c.apply(all, &state, now)
		}
	}
	return standing(all, state, now), ctx.Err()
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
		if s.gone != "" {
			return Event{}, hint(fmt.Errorf("accept: %w: there is no database to accept: %s", ErrRefused, s.what), "put the database back, or run recover")
		}
		err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
			if accepted = standing(tx.Entries(), *tx.State(), m.now()); accepted != nil {
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
	if judge(all, state, s).none() {
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
	return c.began != "" || c.back
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
