package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"example.com/snapd/catalog"
)

const (
	// idlePoll bounds how long Run sleeps: timers stand still while a machine
	// is suspended, and the wall clock may be set.
	idlePoll = 30 * time.Second
	// firstRetry after a failed backup; doubled up to lastRetry.
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// Run protects the database until ctx ends: a backup at start-up, then by the
// schedule and, with OnChange, after changes, and a final one when ctx has
// ended. A failed backup is an event and is tried again; Run goes on. It
// returns nil after a final backup that succeeded, or [ErrBusy] at once where
// another Run has this backup directory. Call Recover first.
func (m *Manager) Run(ctx context.Context) error {
	if err := os.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return hint(fmt.Errorf("run: backup directory: %w", err), "choose a writable directory with --dir")
	}
	lock, err := m.cat.LockServe(context.WithoutCancel(ctx))
	if err != nil {
		return hint(explain(fmt.Errorf("run: %w", err)), "stop the other one, or give this one its own --dir")
	}
	defer lock.Unlock()
	m.rememberRetention()
	w, err := m.watch()
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "changes are looked for every half minute only"})
	}
	defer w.close()
	who := callerOf(ctx).Who
	m.enter(Activity{Who: who, Action: "serve", Outcome: "started", Detail: m.promise(), Schedule: scheduleWord(m.schedule())})
	s := &schedule{m: m, startup: true}
	for ctx.Err() == nil {
		s.turn(ctx)
		if ctx.Err() != nil {
			break
		}
		timer := time.NewTimer(s.sleep())
		select {
		case <-ctx.Done():
		case <-s.listen(w):
			s.changed()
		case <-timer.C:
			if w.poll() {
				s.changed()
			}
		}
		timer.Stop()
	}
	err = m.finalBackup(ctx)
	m.enter(Activity{Who: who, Action: "serve", Outcome: "stopped"}) // with what was idle until now
	// Who stops it knows; who kills it leaves the schedule, and Status tells when it is missed.
	m.rememberState("schedule", func(s *catalog.State) { s.NextRun, s.Schedule = nil, nil })
	return err
}

// promise says when Run makes backups.
func (m *Manager) promise() string {
	when := "no schedule"
	switch {
	case m.cfg.Cron != "":
		when = fmt.Sprintf("a backup by cron %q", m.cfg.Cron)
	case m.cfg.Interval > 0:
		when = "a backup every " + plain(m.cfg.Interval)
	}
	if m.cfg.OnChange > 0 {
		when += ", and after changes"
	}
	return when
}

// plain is a duration as people write it: 12h, not 12h0m0s.
func plain(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// RunningIn tells which process has a Run on this backup directory, "" for none.
func (m *Manager) RunningIn() (holder string, err error) {
	h, running, err := m.cat.ServeRunning()
	if err != nil || !running {
		return "", err
	}
	return h.String(), nil
}

// finalBackup is the shutdown backup, with a time limit of its own.
func (m *Manager) finalBackup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.ShutdownTimeout)
	defer cancel()
	if m.neverWas() {
		return nil
	}
	_, err := m.Backup(ctx, Auto(catalog.TriggerShutdown))
	if errors.Is(err, ErrMissing) {
		return nil // there is no longer anything to back up; already reported
	}
	return err
}

// neverWas reports whether there is no database and none was backed up: that is no failure.
func (m *Manager) neverWas() bool {
	if _, err := os.Stat(m.cfg.Database); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	had, err := m.candidates()
	return err == nil && len(had) == 0
}

// schedule decides when the next automatic backup is due. It belongs to the
// goroutine of Run.
type schedule struct {
	m        *Manager
	startup  bool      // the start-up backup is still to be made
	next     time.Time // by interval or cron; zero for none
	planned  time.Time // when next was fixed
	retry    time.Time // after a failure; zero for none
	failures int
	dirtyAt  time.Time // last change seen and not yet backed up; zero for none
	lastAt   time.Time // last attempt, for the minimum spacing
}

// changed notes that the database was written to.
func (s *schedule) changed() {
	if s.m.cfg.OnChange > 0 {
		s.dirtyAt = s.m.now()
	}
	if s.failures == 0 {
		s.retry = time.Time{} // it only waited for a database to appear
	}
}

// listen is where changes are heard of: nowhere for a moment after one, so that
// a busy writer does not wake Run at every commit. A notice in that time is kept.
func (s *schedule) listen(w *watcher) <-chan struct{} {
	if s.m.now().Sub(s.dirtyAt) < s.deaf() {
		return nil
	}
	return w.changed()
}

// deaf is how long that moment is.
func (s *schedule) deaf() time.Duration { return min(time.Second, s.m.cfg.OnChange/2) }

// due returns the trigger that wants a backup at now, "" for none.
func (s *schedule) due(now time.Time) catalog.Trigger {
	reached := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case s.startup && s.retry.IsZero():
		return catalog.TriggerStartup
	case reached(s.retry), s.retry.IsZero() && reached(s.next):
		return catalog.TriggerSchedule
	case s.retry.IsZero() && reached(s.changeDue()):
		return catalog.TriggerChange
	}
	return ""
}

// changeDue is when the last change will have been quiet for long enough: at
// the latest four spacings after the last backup, however busy the database is.
func (s *schedule) changeDue() time.Time {
	if s.dirtyAt.IsZero() {
		return time.Time{}
	}
	due := s.dirtyAt.Add(s.m.cfg.OnChange)
	if latest := s.lastAt.Add(4 * max(s.m.cfg.MinSpacing, s.m.cfg.OnChange)); !s.lastAt.IsZero() && due.After(latest) {
		due = latest
	}
	if earliest := s.lastAt.Add(s.m.cfg.MinSpacing); due.Before(earliest) {
		due = earliest
	}
	return due
}

// turn makes the backup that is due, if any.
func (s *schedule) turn(ctx context.Context) {
	now := s.m.now()
	if now.Before(s.planned) {
		s.plan(ctx, now) // the clock was set back: the next time would be far off
	}
	trigger := s.due(now)
	if trigger == "" {
		return
	}
	if s.startup {
		trigger = catalog.TriggerStartup
	}
	if _, err := os.Stat(s.m.cfg.Database); errors.Is(err, fs.ErrNotExist) {
		s.absent(ctx, now, trigger)
		return
	}
	dirtyAt := s.dirtyAt
	_, err := s.m.Backup(ctx, Auto(trigger))
	if ctx.Err() != nil {
		return
	}
	now = s.m.now()
	s.lastAt = now
	if err != nil {
		s.failures++
		s.retry = now.Add(min(lastRetry, firstRetry<<min(s.failures-1, 10)))
		return
	}
	s.startup, s.failures, s.retry = false, 0, time.Time{}
	if s.dirtyAt.Equal(dirtyAt) {
		s.dirtyAt = time.Time{}
	}
	s.plan(ctx, now)
}

// absent waits for a database that the application has not created yet, or that
// went away: where there are backups, that is a failure, told once.
func (s *schedule) absent(ctx context.Context, now time.Time, trigger catalog.Trigger) {
	if s.retry.IsZero() {
		if s.m.neverWas() {
			s.m.ev.emit(ctx, Event{Type: EventWarning, Path: s.m.cfg.Database, Message: "there is no database yet; waiting for it"})
		} else if _, err := s.m.Backup(ctx, Auto(trigger)); err == nil {
			return // it has just come back
		}
	}
	s.retry = now.Add(idlePoll)
}

// plan fixes the next scheduled backup.
func (s *schedule) plan(ctx context.Context, now time.Time) {
	s.next, s.planned = s.m.nextRun(now), now
	if s.next.IsZero() {
		return
	}
	if s.m.cfg.Jitter > 0 {
		s.next = s.next.Add(rand.N(s.m.cfg.Jitter))
	}
	s.m.ev.emit(ctx, Event{Type: EventScheduled, Next: s.next, Message: "next automatic backup"})
	s.m.rememberNext(s.next)
}

// nextRun is the time after from that the schedule names; zero for none.
func (m *Manager) nextRun(from time.Time) time.Time {
	if m.cfg.Cron != "" {
		t, err := gronx.NextTickAfter(m.cfg.Cron, from.Local(), false)
		if err != nil {
			m.ev.emit(context.Background(), Event{Type: EventWarning, Err: err, Message: "the cron expression gives no next time; no backup is scheduled"})
			return time.Time{}
		}
		return t.UTC()
	}
	if m.cfg.Interval > 0 {
		return from.Add(m.cfg.Interval)
	}
	return time.Time{}
}

// rememberNext tells other processes when the next backup is due. Status rolls
// a time that has passed forward, so an idle program need not write.
func (m *Manager) rememberNext(next time.Time) {
	state, err := m.cat.State()
	if err == nil && state.NextRun != nil && state.Schedule != nil && *state.Schedule == (catalog.Schedule{Interval: m.cfg.Interval, Cron: m.cfg.Cron}) {
		if latest, err := m.cat.Get("latest"); err == nil && latest.CreatedAt.Before(*state.NextRun) && m.rolled(*state.NextRun).Sub(next).Abs() < time.Minute {
			return
		}
	}
	m.rememberState("schedule", func(s *catalog.State) {
		s.NextRun, s.Schedule = &next, &catalog.Schedule{Interval: m.cfg.Interval, Cron: m.cfg.Cron}
	})
}

// rolled returns the first scheduled time after now that follows from t.
func (m *Manager) rolled(t time.Time) time.Time {
	now := m.now()
	if t.After(now) {
		return t
	}
	if m.cfg.Cron == "" && m.cfg.Interval > 0 {
		return t.Add((now.Sub(t)/m.cfg.Interval + 1) * m.cfg.Interval)
	}
	return m.nextRun(now)
}

// rolledNext is rolled for a time that may be missing.
func (m *Manager) rolledNext(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	next := m.rolled(*t)
	return &next
}

// sleep is how long nothing can become due.
func (s *schedule) sleep() time.Duration {
	now := s.m.now()
	wait := idlePoll
	times := []time.Time{s.retry}
	if s.retry.IsZero() {
		times = []time.Time{s.next, s.changeDue()}
	}
	for _, t := range times {
		if !t.IsZero() {
			wait = min(wait, max(0, t.Sub(now)))
		}
	}
	if !s.dirtyAt.IsZero() && now.Sub(s.dirtyAt) < s.deaf() {
		wait = min(wait, s.deaf()) // and then hear again
	}
	return wait
}
