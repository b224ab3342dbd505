package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/schedule"
)

// Run protects the database until ctx ends: a backup at start-up, then by the
// schedule and, with OnChange, after changes, and a final one when ctx has
// ended. A failed backup is an event and is tried again; Run goes on. It
// returns nil after a final backup that succeeded, or [ErrBusy] at once where
// another Run has this backup directory. Call Recover first, and before that Capture
// where other programs may be writing.
func (m *Manager) Run(ctx context.Context) error {
	if err := durable.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return hint(fmt.Errorf("run: backup directory: %w", err), "choose a writable directory with --dir")
	}
	before := m.early.Swap(nil)
	if before == nil {
		lock, err := m.cat.LockServe(context.WithoutCancel(ctx))
		if err != nil {
			return hint(explain(fmt.Errorf("run: %w", err)), "stop the other one, or give this one its own --dir")
		}
		before = &early{lock: lock}
	}
	defer before.lock.Unlock()
	r := &runner{m: m, timer: schedule.NewTimer(m.present.Load().timing()), again: provingAgain(m)}
	defer r.again.Wait()
	warnOfPlace(ctx, m)
	r.recordRetention()
	r.recordNext(time.Time{})
	r.watch(ctx)
	defer func() { r.changes.Close() }()
	defer startSending(ctx, m)() // it ends after the captures, whose last are sent
	r.capturing = before.goOn(ctx, m)
	defer func() { r.capturing.end() }()
	r.notifying = startNotifying(ctx, m, &r.life)
	defer func() { r.notifying.end() }()
	who := callerOf(ctx).Who
	m.Record(Activity{Who: who, Action: "serve", Outcome: "started", Detail: m.present.Load().promise(), Schedule: m.present.Load().schedule().String()})
	r.loop(ctx)
	err := r.finalBackup(ctx)
	m.Record(Activity{Who: who, Action: "serve", Outcome: "stopped"}) // with what was idle until now
	// A service that was stopped leaves no schedule. One that was killed does, and Status reports what it misses.
	r.recordNone()
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
	m       *Manager
	timer   *schedule.Timer
	changes *livedb.Watcher // with OnChange; nil is silent

	capturing *capturing // nil where it is off

	notifying *notifying // nil without receivers
	life      lifeSign

	breaks  breakWatch
	checks  checkWatch
	again   *proof.Again
	pruning schedule.Backoff // of a pruning that failed
}

func (r *runner) loop(ctx context.Context) {
	for ctx.Err() == nil {
		r.life.give(r.m.now())
		r.tick(ctx)
		if ctx.Err() != nil {
			return
		}
		now := r.m.now()
		notices := r.changes.Changed()
		if r.timer.Debouncing(now) {
			notices = nil // a notice in this time is kept
		}
		wait := time.NewTimer(r.timer.Wait(now))
		select {
		case <-ctx.Done():
		case <-r.m.reloaded:
			r.reload(ctx)
		case <-r.capturing.needed():
			if !r.capturing.Ready(ctx) { // the start-up backup may have come meanwhile
				r.timer.Now(r.m.now())
			}
		case <-notices:
			r.timer.Changed(r.m.now())
		case <-wait.C:
			if r.changes.Poll() {
				r.timer.Changed(r.m.now())
			}
		}
		wait.Stop()
	}
}

// Reload takes the schedule and the retention of cfg (Interval, Cron, Jitter, OnChange,
// MinSpacing, CheckEvery, Retention, KeepReplaced, Continuous, KeepPoints, PointsMaxBytes), and Notify and Remotes, in place of those that hold so far. A Run that is at
// work goes on with them. Its other fields are not looked at. Where something in it makes no sense, keys of a remote included, nothing is taken.
func (m *Manager) Reload(cfg Config) error {
	if err := cfg.resolveService(); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	for _, r := range cfg.Remotes {
		if _, err := keysOf(r); err != nil {
			return fmt.Errorf("reload: remote %s: %w", r.Name, err)
		}
	}
	next := *m.present.Load()
	next.Interval, next.Cron, next.Jitter, next.OnChange, next.MinSpacing = cfg.Interval, cfg.Cron, cfg.Jitter, cfg.OnChange, cfg.MinSpacing
	next.Retention, next.KeepReplaced, next.CheckEvery = cfg.Retention, cfg.KeepReplaced, cfg.CheckEvery
	next.Continuous, next.KeepPoints, next.PointsMaxBytes = cfg.Continuous, cfg.KeepPoints, cfg.PointsMaxBytes
	next.Notify, next.Remotes = cfg.Notify, cfg.Remotes
	m.present.Store(&next)
	select {
	case m.reloaded <- struct{}{}:
	default: // the Run will see the newest
	}
	return nil
}

// reload goes on by the present configuration.
func (r *runner) reload(ctx context.Context) {
	now := r.m.present.Load()
	r.m.Record(Activity{Who: callerOf(ctx).Who, Action: "serve", Outcome: "reloaded", Detail: now.promise(), Schedule: now.schedule().String()})
	r.timer.Reload(now.timing())
	r.watch(ctx)
	if off := now.Continuous < 0; off != (r.capturing == nil) {
		r.capturing.end()
		r.capturing = startCapturing(ctx, r.m)
	} else if !off {
		r.capturing.Wake()
	}
	r.notifying.end()
	r.notifying = startNotifying(ctx, r.m, &r.life)
	sendToConfigured(ctx, r.m)
	r.recordRetention()
	r.plan(ctx, r.m.now())
}

// watch listens for changes where they make backups.
func (r *runner) watch(ctx context.Context) {
	wanted := r.m.present.Load().OnChange > 0
	if wanted == (r.changes != nil) {
		return
	}
	r.changes.Close()
	r.changes = nil
	if !wanted {
		return
	}
	var err error
	if r.changes, err = livedb.Watch(r.m.cfg.Database); err != nil {
		r.m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "changes are looked for every half minute only"})
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
		r.pruneAgain(ctx, now)
		r.checks.look(ctx, r.m, now)
		if r.again.Look(ctx, now) { // a backup less
			r.timer.Now(now)
		}
		return
	}
	_, err := os.Stat(r.m.cfg.Database)
	missing := errors.Is(err, fs.ErrNotExist) || r.notCreatedYet()
	if missing && !r.reportMissing(ctx, now) {
		return
	}
	succeeded := r.timer.Begin()
	seen, _ := livedb.FingerprintIfAny(r.m.cfg.Database) // where it fails nothing is known to be checked
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
	if err == nil || errors.Is(err, ErrCorrupt) { // its proof is a quick check
		r.checks.at, r.checks.seen = now, seen
	}
}

const (
	// checkShare is the least ratio of the time between checks to the time that one takes.
	checkShare = 100
	// heldUpBytes is the largest database in a rollback-journal mode that is checked while
	// serving: its writers wait as long as that takes, a fraction of a second.
	heldUpBytes = 64 << 20
)

// checkWatch checks the database while a Run is at work, so that damage is not first met by
// the next backup, twelve hours later.
type checkWatch struct {
	at   time.Time          // of the last check, or when looking began
	took time.Duration      // the last one
	seen livedb.Fingerprint // what was checked last
}

// look makes a quick check where one is due and something changed. What it finds is looked at again
// by Check, whose outcome is an event, in the log, and part of the status; that all is well is not reported each hour.
func (w *checkWatch) look(ctx context.Context, m *Manager, now time.Time) {
	every := m.present.Load().CheckEvery
	if w.at.IsZero() {
		w.at = now // Recover has checked it
	}
	if every < 0 || now.Sub(w.at).Abs() < max(every, checkShare*w.took) {
		return
	}
	w.at = now
	files, err := livedb.Look(m.cfg.Database)
	if err != nil || files.Fingerprint.Same(w.seen) || !files.UsesLog() && files.Main.Size > heldUpBytes {
		return // unchanged; or it is not there, which is the breaks' to report
	}
	report, err := quickCheck(ctx, m)
	if err != nil || report.Damaged() {
		_, err = m.Check(ctx, LevelQuick)
	} else {
		m.mem.Check(report)
	}
	if err == nil { // damage is reported once
		w.seen = files.Fingerprint
	}
	w.at = m.now()
	w.took = w.at.Sub(now)
}

// pruneAgain tries a pruning that failed, of a backup or of an earlier process.
func (r *runner) pruneAgain(ctx context.Context, now time.Time) {
	state, err := r.m.cat.State()
	switch {
	case err != nil:
	case state.PruneFailed == nil:
		r.pruning.Succeeded()
	case !r.pruning.Pending():
		r.pruning.Failed(now) // it has failed once
	case r.pruning.Due(now):
		if _, err := r.m.Prune(ctx, nil); err != nil { // its event says so
			r.pruning.Failed(r.m.now())
		}
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
	r.recordNext(next)
	if !next.IsZero() {
		r.m.ev.emit(ctx, Event{Type: EventScheduled, Next: next, Message: "next automatic backup"})
	} else if cron := r.m.present.Load().Cron; cron != "" {
		r.m.ev.emit(ctx, Event{Type: EventWarning, Message: fmt.Sprintf("the cron expression %q gives no next time; no backup is scheduled", cron)})
	}
}

// recordNext records for other processes by which schedule this service backs up, and when
// the next backup is due; zero for not. Status rolls a time that has passed forward, so an
// idle program need not write.
func (r *runner) recordNext(next time.Time) {
	promised := r.m.present.Load().schedule()
	state, err := r.m.cat.State()
	known := err == nil && state.Schedule != nil && *state.Schedule == promised
	if next.IsZero() {
		if !known || promised == (Schedule{}) && state.NextRun != nil {
			r.m.mem.Update("schedule", func(s *catalog.State) { s.NextRun, s.Schedule = nil, &promised })
		}
		return
	}
	if known && state.NextRun != nil {
		if latest, err := r.m.cat.Get("latest"); err == nil && latest.CreatedAt.Before(*state.NextRun) && promised.Roll(*state.NextRun, r.m.now()).Sub(next).Abs() < time.Minute {
			return
		}
	}
	r.m.mem.Update("schedule", func(s *catalog.State) { s.NextRun, s.Schedule = &next, &promised })
}

// recordNone takes back what recordNext recorded.
func (r *runner) recordNone() {
	if state, err := r.m.cat.State(); err == nil && (state.NextRun != nil || state.Schedule != nil) {
		r.m.mem.Update("schedule", func(s *catalog.State) { s.NextRun, s.Schedule = nil, nil })
	}
}

// recordRetention keeps the policy, and how commits are captured, for those who follow the service.
func (r *runner) recordRetention() {
	present := r.m.present.Load()
	policy, replaced, captures := present.Retention, present.keepReplaced(), present.continuous()
	if state, err := r.m.cat.State(); err == nil && (state.Retention == nil || *state.Retention != policy || state.Replaced != replaced || state.Continuous != captures) {
		r.m.mem.Update("retention", func(s *catalog.State) { s.Retention, s.Replaced, s.Continuous = &policy, replaced, captures })
	}
}

// stopPatience is how long the shutdown backup waits for locks: a container is killed ten
// seconds after it was asked to stop.
var stopPatience = 7 * time.Second

// finalBackup is the shutdown backup, with a time limit of its own.
func (r *runner) finalBackup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(withPatience(context.WithoutCancel(ctx), stopPatience), r.m.cfg.ShutdownTimeout)
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

// notCreatedYet reports whether there is no database, or an empty file that will be one, and
// none was backed up: that is no failure.
func (r *runner) notCreatedYet() bool {
	if st, err := os.Stat(r.m.cfg.Database); err == nil && st.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, stored, err := catalogfile.Candidates(r.m.cat)
	return err == nil && stored == 0
}
