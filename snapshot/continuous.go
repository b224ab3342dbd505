package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/backup"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/protection"
	"example.com/snapd/internal/recorder"
	"example.com/snapd/internal/remote"
)

// capturing is the change log of a Run that is at work. A nil one captures nothing.
type capturing struct {
	*recorder.Recorder
	need chan struct{} // a backup is needed, which the log can build on
	stop func()        // ends it, after a last look
}

// startCapturing captures what is committed, in a goroutine, until stop is called. nil where that is off.
func startCapturing(ctx context.Context, m *Manager) *capturing {
	if m.present.Load().Continuous < 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the shutdown backup is captured, too
	c := &capturing{need: make(chan struct{}, 1)}
	c.Recorder = recorder.New(recorder.Options{
		Database: m.cfg.Database, Name: m.cfg.base(), Dir: filepath.Join(m.cfg.Dir, recorder.Dir), Now: m.now,
		Host: &recorderHost{Catalog: m.cat, m: m, need: c.need},
		Settings: func() recorder.Settings {
			p := m.present.Load()
			s := recorder.Settings{Every: p.Continuous, MaxBytes: p.PointsMaxBytes}
			for _, t := range p.KeepPoints {
				s.Tiers = append(s.Tiers, changes.Tier(t))
			}
			return s
		},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Recorder.Run(ctx)
	}()
	c.stop = func() {
		m.capturing.Store(nil)
		cancel()
		<-done
	}
	m.capturing.Store(c)
	return c
}

// early is what captures before a Run.
type early struct {
	lock      *catalogfile.Lock
	stop      func()     // ends the waiting for a program that has the database open
	capturing *capturing // nil before one has; valid after stop
}

// inUsePoll is the time between two looks whether a program has the database open.
const inUsePoll = 100 * time.Millisecond

// Capture has what other programs commit captured before [Manager.Recover] and Run, which goes on with it: a check
// of a large database takes a while. It begins once a program has the log of the database open, since the index of a log whose
// owner died is evidence for Recover; and only where an earlier Run captured. end gives it up where no Run came;
// after one it does nothing. Errors: [ErrBusy] where another Run has this backup directory.
func (m *Manager) Capture(ctx context.Context) (end func(), err error) {
	if _, err := os.Stat(filepath.Join(m.cfg.Dir, recorder.Dir)); err != nil || m.present.Load().Continuous < 0 {
		return func() {}, nil // Run says what is wrong with the directory
	}
	lock, err := m.cat.LockServe(context.WithoutCancel(ctx))
	if err != nil {
		return nil, hint(explain(fmt.Errorf("capture: %w", err)), "stop the other one, or give this one its own --dir")
	}
	wait, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	e := &early{lock: lock, stop: func() { cancel(); <-done }}
	go func() {
		defer close(done)
		poll := time.NewTicker(inUsePoll)
		defer poll.Stop()
		for !livedb.LogInUse(m.cfg.Database) {
			select {
			case <-wait.Done():
				return
			case <-poll.C:
			}
		}
		e.capturing = startCapturing(ctx, m)
	}()
	m.early.Store(e)
	return func() {
		if m.early.CompareAndSwap(e, nil) {
			e.stop()
			e.capturing.end()
			_ = e.lock.Unlock() // the process ends
		}
	}, nil
}

// goOn is the capturing of a Run.
func (e *early) goOn(ctx context.Context, m *Manager) *capturing {
	if e.stop != nil {
		e.stop()
	}
	if e.capturing == nil {
		return startCapturing(ctx, m)
	}
	e.capturing.Wake() // it may have waited for the recovery
	return e.capturing
}

// needed delivers requests for a backup.
func (c *capturing) needed() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.need
}

// end captures what is left, and seals.
func (c *capturing) end() {
	if c != nil {
		c.stop()
	}
}

// quickCheck checks the database; where captures are made, in the very state by which all pages of the change log are proven.
func quickCheck(ctx context.Context, m *Manager) (Report, error) {
	if c := m.capturing.Load(); c != nil {
		report, err := c.Anchor(ctx)
		if !errors.Is(err, recorder.ErrNotAnchored) {
			return report, err
		}
	}
	return m.look(ctx, LevelQuick, m.cfg.LockWait)
}

// suspendCaptures keeps the database closed for what replaces its file.
func suspendCaptures(m *Manager) (resume func()) {
	if c := m.capturing.Load(); c != nil {
		return c.Suspend()
	}
	return func() {}
}

// marked is a state that a backup is taken of, as the change log has it.
type marked struct {
	by *capturing // nil: it is no recovery point
	recorder.Mark
}

// markState captures the state of a backup's transaction. The caller holds the operation lock.
func markState(ctx context.Context, m *Manager, tx *livedb.Tx, files livedb.Fingerprint) (s marked) {
	c := m.capturing.Load()
	if c == nil {
		return s
	}
	if mark, ok := c.Within(ctx, tx, files); ok {
		s = marked{c, mark}
	}
	return s
}

// proven compares the state with what the backup has read of it: where they are equal, the change log is proven up
// to there, and point is the backup's. The image of digests was checked.
func (s marked) proven(ctx context.Context, sum string, digests backup.Digests) (point string) {
	if s.Sum != sum {
		s.by.Refuted(ctx, s.Mark, "", recorder.Digests(digests))
		return ""
	}
	s.by.Proven(s.Mark)
	return s.Point()
}

// backedUp has the change log build on a backup from now on.
func (c *capturing) backedUp(s marked, e Backup) {
	switch {
	case c == nil:
	case s.by == c && e.Point != "":
		c.BuildOn(s.Mark, e.ID)
	default:
		c.Wake() // it may wait for one
	}
}

// recorderHost is what the recorder needs of a Manager.
type recorderHost struct {
	*catalogfile.Catalog
	m    *Manager
	need chan struct{}

	mu    sync.Mutex
	asked string    // why a backup was asked for last
	at    time.Time // and when
}

// needAgain is how often a backup is asked for, at most, for one reason.
const needAgain = 10 * time.Minute

func (h *recorderHost) NeedBackup(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.m.now()
	if reason == h.asked && now.Sub(h.at).Abs() < needAgain {
		return
	}
	h.asked, h.at = reason, now
	select {
	case h.need <- struct{}{}:
	default:
	}
}

func (h *recorderHost) Update(what string, change func(*catalog.State)) { h.m.mem.Update(what, change) }

func (h *recorderHost) Code(err error) string { return Code(explain(err)) }

// soon bounds how long the recorder waits for another operation.
const soon = 2 * time.Second

func (h *recorderHost) Judge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	unlock, err := h.m.operate(ctx, "look at a database in another file")
	if err != nil {
		return err
	}
	defer unlock()
	s, err := see(ctx, &h.m.cfg)
	if err == nil {
		_, err = notice(ctx, h.m, s)
	}
	return err
}

func (h *recorderHost) Begin(ctx context.Context, present uint64, cause catalog.Cause, what string, locked bool) error {
	m := h.m
	if !locked {
		wait, cancel := context.WithTimeout(ctx, soon)
		defer cancel()
		unlock, err := m.operate(wait, "begin a timeline")
		if err != nil {
			return err
		}
		defer unlock()
	}
	var began bool
	err := m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		p := tx.Present()
		if began = p.Number == present; began {
			from, _ := tx.Get("latest") // the zero Entry where there is none
			tx.State().Begin(p, cause, from, what, catalog.NotBefore(tx.Entries(), m.now()))
		}
		return nil
	})
	if err == nil && began {
		ev := Event{Type: EventBreak, Path: m.cfg.Database, Message: "a new timeline begins: the database was " + cause.Verb(), Reason: what, loud: cause == catalog.SetBack}
		ev.more = Activity{Action: "break", Outcome: "noticed", Detail: ev.Message + ": " + what}
		m.ev.emit(ctx, ev)
	}
	return err
}

// Report makes an event of what the recorder reports.
func (h *recorderHost) Report(e recorder.Event) {
	ev := Event{Type: EventChainGap, Point: e.Point, Message: e.Message, Reason: e.Reason, Err: e.Err, Path: h.m.cfg.Database}
	ev.more = Activity{Action: "continuous", Detail: e.Message}
	switch e.Kind {
	case recorder.Captured:
		ev.Type = EventCaptured
	case recorder.Began:
		ev.Type = EventCapturing
	case recorder.Anchored:
		ev.Type = EventAnchored
	case recorder.Refuted:
		ev.loud, ev.more.Outcome = true, "gap"
	case recorder.Stopped:
		ev.loud, ev.more.Outcome = true, "stopped"
		ev.more.Detail += ": " + e.Err.Error()
	case recorder.Rotted:
		ev.loud, ev.more.Outcome = true, "damaged"
		if names := remote.WithCaptures(h.m.cfg.Dir, e.Damaged.Timeline, e.Damaged.First, e.Damaged.Last); len(names) > 0 {
			ev.Message += "; its captures are also at remote " + strings.Join(names, ", ") + ", for restore --from"
		}
	case recorder.Resumed:
		ev.loud, ev.more.Outcome = true, "resumed"
	case recorder.Trouble:
		ev.Type = EventWarning
	case recorder.Thinned:
		ev.loud, ev.more.Outcome = true, "thinned"
	}
	if e.Reason != "" {
		ev.more.Detail += ": " + e.Reason
	}
	h.m.ev.emit(context.Background(), ev)
}

const continuousOff = "off"

// continuous is Config.Continuous as the state has it.
func (c *Config) continuous() string {
	switch {
	case c.Continuous < 0:
		return continuousOff
	case c.Continuous == 0:
		return "auto"
	}
	return c.Continuous.String()
}

// logStatus is how far the change log goes, as of the facts so far.
func logStatus(ctx context.Context, m *Manager, f protection.Facts) (recorder.Status, error) {
	if c := m.capturing.Load(); c != nil {
		return c.Status(), nil
	}
	all, err := m.cat.All()
	if err != nil {
		return recorder.Status{}, err
	}
	s, err := recorder.ReadStatus(ctx, filepath.Join(m.cfg.Dir, recorder.Dir), m.cfg.Database, catalog.PresentOf(all, f.State).Number, f.Serving)
	if err != nil && ctx.Err() == nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "the change log could not be read"})
		err = nil
	}
	return s, err
}

// resolveContinuous validates how captures are made and kept.
func (c *Config) resolveContinuous() error {
	if c.Continuous > 0 && c.Continuous < minContinuous {
		return hint(fmt.Errorf("a capture each %s would do nothing else", c.Continuous), fmt.Sprintf("use at least %s, or auto", minContinuous))
	}
	if len(c.KeepPoints) == 0 {
		c.KeepPoints = catalog.DefaultPointTiers
	}
	if err := c.KeepPoints.Check(); err != nil {
		return hint(err, "for example 48h,5m:7d,1h:30d")
	}
	if c.PointsMaxBytes < 0 {
		return hint(fmt.Errorf("a change log of %d bytes", c.PointsMaxBytes), "0 is no limit")
	}
	return nil
}

// minContinuous is the least Config.Continuous.
const minContinuous = 100 * time.Millisecond
