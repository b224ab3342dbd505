package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/schedule"
)

// Run protects the database until ctx ends: a backup at start-up, then by the
// schedule and, with OnChange, after changes, and a final one when ctx has
// ended. A failed backup is an event and is tried again; Run goes on. It
// returns nil after a final backup that succeeded, or [ErrBusy] at once where
// another Run has this backup directory. Call Recover first.
func (m *Manager) Run(ctx context.Context) error {
	if err := durable.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return hint(fmt.Errorf("run: backup directory: %w", err), "choose a writable directory with --dir")
	}
	lock, err := m.cat.LockServe(context.WithoutCancel(ctx))
	if err != nil {
		return hint(explain(fmt.Errorf("run: %w", err)), "stop the other one, or give this one its own --dir")
	}
	defer lock.Unlock()
	r := &runner{m: m, timer: schedule.NewTimer(m.cfg.timing())}
	r.recordRetention()
	var w *livedb.Watcher // nil is silent
	if m.cfg.OnChange > 0 {
		if w, err = livedb.Watch(m.cfg.Database); err != nil {
			m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "changes are looked for every half minute only"})
		}
	}
	defer w.Close()
	who := callerOf(ctx).Who
	m.Record(Activity{Who: who, Action: "serve", Outcome: "started", Detail: m.cfg.promise(), Schedule: m.cfg.schedule().String()})
	r.loop(ctx, w)
	err = r.finalBackup(ctx)
	m.Record(Activity{Who: who, Action: "serve", Outcome: "stopped"}) // with what was idle until now
	// A service that was stopped leaves no schedule. One that was killed does, and Status reports what it misses.
	m.mem.Update("schedule", func(s *catalog.State) { s.NextRun, s.Schedule = nil, nil })
	return err
}

// RunningIn returns the process that has a Run on this backup directory, "" for none.
func (m *Manager) RunningIn() (holder string, err error) {
	h, running, err := m.cat.ServeRunning()
	if err != nil || !running {
		return "", err
	}
	return h.String(), nil
}

// runner waits for what the timer decides, and carries it out. It belongs to the
// goroutine of Run.
type runner struct {
	m      *Manager
	timer  *schedule.Timer
	breaks breakWatch
}

func (r *runner) loop(ctx context.Context, w *livedb.Watcher) {
	for ctx.Err() == nil {
		r.tick(ctx)
		if ctx.Err() != nil {
			return
		}
		now := r.m.now()
		notices := w.Changed()
		if r.timer.Debouncing(now) {
			notices = nil // a notice in this time is kept
		}
		wait := time.NewTimer(r.timer.Wait(now))
		select {
		case <-ctx.Done():
		case <-notices:
			r.timer.Changed(r.m.now())
		case <-wait.C:
			if w.Poll() {
				r.timer.Changed(r.m.now())
			}
		}
		wait.Stop()
	}
}

// tick makes the backup that is due, if any.
func (r *runner) tick(ctx context.Context) {
	now := r.m.now()
	if r.timer.ClockSetBack(now) {
		r.plan(ctx, now)
	}
	if r.breaks.look(ctx, r.m, now) {
		r.timer.Now(now)
	}
	cause := r.timer.Due(now)
	if cause == schedule.None {
		return
	}
	_, err := os.Stat(r.m.cfg.Database)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing && !r.reportMissing(ctx, now) {
		return
	}
	succeeded := r.timer.Begin()
	_, err = r.m.Backup(ctx, Auto(catalog.Trigger(cause)))
	now = r.m.now()
	switch {
	case ctx.Err() != nil:
	case err != nil && missing: // it was put off
	case err != nil:
		r.timer.Failed(now)
	default:
		succeeded(now)
		r.plan(ctx, now)
	}
}

// reportMissing puts off the backup of a database that is not there. The first time it
// says so, and where there were backups it asks for the backup, whose failure is recorded.
func (r *runner) reportMissing(ctx context.Context, now time.Time) (try bool) {
	first := r.timer.Missing(now)
	if first && r.notCreatedYet() {
		r.m.ev.emit(ctx, Event{Type: EventWarning, Path: r.m.cfg.Database, Message: "there is no database yet; waiting for it"})
		return false
	}
	return first
}

// plan fixes the next scheduled backup.
func (r *runner) plan(ctx context.Context, now time.Time) {
	next := r.timer.Plan(now)
	if next.IsZero() {
		if r.m.cfg.Cron != "" {
			r.m.ev.emit(ctx, Event{Type: EventWarning, Message: fmt.Sprintf("the cron expression %q gives no next time; no backup is scheduled", r.m.cfg.Cron)})
		}
		return
	}
	r.m.ev.emit(ctx, Event{Type: EventScheduled, Next: next, Message: "next automatic backup"})
	r.recordNext(next)
}

// recordNext records for other processes when the next backup is due. Status rolls
// a time that has passed forward, so an idle program need not write.
func (r *runner) recordNext(next time.Time) {
	promised := r.m.cfg.schedule()
	state, err := r.m.cat.State()
	if err == nil && state.NextRun != nil && state.Schedule != nil && *state.Schedule == promised {
		if latest, err := r.m.cat.Get("latest"); err == nil && latest.CreatedAt.Before(*state.NextRun) && promised.Roll(*state.NextRun, r.m.now()).Sub(next).Abs() < time.Minute {
			return
		}
	}
	r.m.mem.Update("schedule", func(s *catalog.State) { s.NextRun, s.Schedule = &next, &promised })
}

// recordRetention keeps the policy for those who follow the service.
func (r *runner) recordRetention() {
	policy, replaced := r.m.cfg.Retention, r.m.cfg.keepReplaced()
	if state, err := r.m.cat.State(); err == nil && (state.Retention == nil || *state.Retention != policy || state.Replaced != replaced) {
		r.m.mem.Update("retention", func(s *catalog.State) { s.Retention, s.Replaced = &policy, replaced })
	}
}

// keepReplaced is KeepReplaced as the state has it, in seconds.
func (c *Config) keepReplaced() int64 {
	if c.KeepReplaced < 0 {
		return -1
	}
	return int64(c.KeepReplaced / time.Second)
}

// finalBackup is the shutdown backup, with a time limit of its own.
func (r *runner) finalBackup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.m.cfg.ShutdownTimeout)
	defer cancel()
	if r.notCreatedYet() {
		return nil
	}
	_, err := r.m.Backup(ctx, Auto(catalog.TriggerShutdown))
	if errors.Is(err, ErrMissing) {
		return nil // there is no longer anything to back up; already reported
	}
	return err
}

// notCreatedYet reports whether there is no database and none was backed up: that is no failure.
func (r *runner) notCreatedYet() bool {
	if _, err := os.Stat(r.m.cfg.Database); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, stored, err := candidatesOf(r.m.cat)
	return err == nil && stored == 0
}

// schedule says when automatic backups are made.
func (c *Config) schedule() Schedule { return schedule.New(c.Interval, c.Cron) }

// promised is the schedule of the Run that is at work, or was killed, else the configured one.
func (c *Config) promised(state catalog.State) Schedule {
	if state.Schedule != nil {
		return *state.Schedule
	}
	return c.schedule()
}

// nextRuns is when that schedule makes backups after now, one after the other.
func (c *Config) nextRuns(state catalog.State, now time.Time) func(after time.Time) time.Time {
	promised, first := c.promised(state), time.Time{}
	if state.Schedule != nil && state.NextRun != nil {
		first = promised.Roll(*state.NextRun, now)
	}
	return promised.From(first)
}

// timing is what the timer of Run goes by.
func (c *Config) timing() schedule.Options {
	o := schedule.Options{Schedule: c.schedule(), OnChange: c.OnChange, MinSpacing: c.MinSpacing}
	if c.Jitter > 0 {
		o.Jitter = func() time.Duration { return rand.N(c.Jitter) }
	}
	return o
}

// promise says for people when Run makes backups.
func (c *Config) promise() string {
	when := c.schedule().Describe()
	if c.OnChange > 0 {
		when += ", and after changes"
	}
	return when
}
