package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/protection"
	"example.com/snapd/internal/recovery"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/schedule"
)

// The state of the protection, as [Manager.Status] returns it.
type (
	// Status is the state of the protection.
	Status = protection.Status
	// Protection is the one-word answer to "is the data safe?".
	Protection = protection.Protection
	// Why says in a word why a [Status] is what it is.
	Why = protection.Why
	// DatabaseStatus is what Status says of the live file.
	DatabaseStatus = protection.DatabaseStatus
	// LastRestore is the last restore over the database.
	LastRestore = protection.LastRestore
	// Continuous is how the commits between backups are captured.
	Continuous = protection.Continuous
	// Stored are the backups that there are.
	Stored = protection.Stored
	// CaptureState says in a word whether they are.
	CaptureState = protection.CaptureState
)

const (
	CapturesOn, CapturesOff     = protection.CapturesOn, protection.CapturesOff
	CapturesGap, CapturesBehind = protection.CapturesGap, protection.CapturesBehind

	Protected   = protection.Protected   // a verified backup covers the database as the schedule promises
	AtRisk      = protection.AtRisk      // there is a verified backup, but something is wrong: see the reason
	Unprotected = protection.Unprotected // there is no verified backup
)

const (
	WhyNoBackup    = protection.WhyNoBackup    // unprotected: there is none
	WhyUnverified  = protection.WhyUnverified  // unprotected: there are some, none of them verified
	WhyDirectory   = protection.WhyDirectory   // unprotected: the backup directory is gone, or another one is in its place
	WhyArchiveGone = protection.WhyArchiveGone // at risk: the newest verified backup's file is gone, has another size, or cannot be looked at
	WhyCheckFailed = protection.WhyCheckFailed // at risk: the database could not be looked at
	WhyDamaged     = protection.WhyDamaged     // at risk: the database is damaged
	WhyMissing     = protection.WhyMissing     // at risk: the database is missing or empty
	WhyBreak       = protection.WhyBreak       // at risk: another database is in its place, or less than half of it, see Break
	WhyExposed     = protection.WhyExposed     // at risk: other users could replace or remove the backups
	WhyFailed      = protection.WhyFailed      // at risk: the last backup failed
	WhyClock       = protection.WhyClock       // at risk: the newest verified backup is from the future
	WhyRemote      = protection.WhyRemote      // at risk: a remote has not got what it should, see Remotes
	WhyOverdue     = protection.WhyOverdue     // at risk: the schedule promised a backup that did not come
	WhyUnchanged   = protection.WhyUnchanged   // protected: the database is provably as the newest verified backup has it
	WhyRecent      = protection.WhyRecent      // protected: the newest verified backup is as recent as promised
)

// Schedule says when automatic backups are made: by Cron where that is set.
type Schedule = schedule.Schedule

// Stats are the figures of the backup directory.
type Stats = catalogfile.Stats

// Backups returns all backups, newest first.
func (m *Manager) Backups() ([]Backup, error) {
	all, err := m.cat.Entries()
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	for i := range all {
		all[i] = all[i].Public()
	}
	m.copies.Fill(all)
	return all, nil
}

// BackupsQuery chooses backups for [Manager.Page]. Zero values do not restrict.
type BackupsQuery = catalogfile.Query

// BackupsPage is a part of the list of backups.
type BackupsPage = catalogfile.Page

// Page returns the backups that q chooses, the newest first. Errors: [ErrCursor].
func (m *Manager) Page(q BackupsQuery) (BackupsPage, error) {
	page, err := m.cat.Page(q)
	for i := range page.Backups {
		page.Backups[i] = page.Backups[i].Public()
	}
	m.copies.Fill(page.Backups)
	return page, err
}

// Find returns one backup; "latest" is that of [catalog.Latest].
func (m *Manager) Find(id string) (Backup, error) {
	e, err := proof.Find(context.Background(), m.cat, id)
	found := []Backup{e.Public()}
	m.copies.Fill(found)
	return found[0], err
}

// ArchivePath returns the absolute path of a backup's file.
func (m *Manager) ArchivePath(b Backup) string { return m.cat.Path(b) }

// Stats returns the figures.
func (m *Manager) Stats() (Stats, error) {
	s, err := catalogfile.ReadStats(m.cat)
	if err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	return s, nil
}

// State returns what the catalog remembers next to the backups, and the failures of this
// Manager's backups that could not be stored.
func (m *Manager) State() (State, error) { return m.mem.State() }

// Check judges the live database at level and remembers the outcome. It takes
// no operation lock: checking disturbs no other operation.
func (m *Manager) Check(ctx context.Context, level Level) (Report, error) {
	var report Report
	op := &operation{kind: OpCheck, lockFree: true, result: func() any { return report }}
	err := m.perform(ctx, op, func(ctx context.Context) (_ Event, err error) {
		m.start(ctx, "")
		began := m.now()
		if report, err = m.look(ctx, level, m.cfg.LockWait); err != nil {
			return Event{}, err
		}
		m.mem.Check(report)
		return checkEvent(m.cfg.Database, report, m.now().Sub(began)), nil
	})
	return report, err
}

// checkEvent is the end of a check of the live database.
func checkEvent(database string, r Report, took time.Duration) Event {
	ev := Event{Type: EventChecked, Operation: OpCheck, Path: database, Message: "database integrity check passed",
		more: Activity{Detail: fmt.Sprintf("level %s: %s", r.Level, r.Verdict), DurationMS: took.Milliseconds()}}
	switch {
	case r.Damaged():
		ev.Type, ev.Message = EventFailed, "database integrity check failed"
		ev.Err = &CorruptError{What: "database " + database, Report: r}
	case r.Verdict == integrity.Missing, r.Verdict == integrity.Empty:
		ev.Message = fmt.Sprintf("there is no database to be checked: %s", r.Verdict)
	}
	return ev
}

// look checks without the operation lock, so a private copy, where one is
// needed, goes where no other operation sweeps: the system's temporary directory.
func (m *Manager) look(ctx context.Context, level integrity.Level, wait time.Duration) (Report, error) {
	all, state, err := m.cat.Read()
	if err != nil {
		all = nil // the check says what it can without
	}
	return integrity.Check(ctx, m.cfg.Database, integrity.Options{Level: level, LockWait: wait, Known: breaks.Known(all, state)})
}

// Status says whether the data is safe, and why. It probes the database but
// changes nothing; that a damaged catalog had to be rebuilt is entered into the log.
func (m *Manager) Status(ctx context.Context) (Status, error) {
	f, err := gatherFacts(ctx, m)
	// Why no backup is proven any more must not wait for the next operation.
	m.reportChanges(ctx, m.cat.TakeChanges(), true)
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	s := f.Status()
	s.Recovered = recovery.Unseen(m.cfg.Dir, f.State)
	s.Recovery = caseOf(ctx, m).Outlook(ctx, s.Database.Verdict, f.Probe)
	if s.Quarantined, err = m.Quarantines(); err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	s.FreeBytes = freeBytes(m)
	s.Receivers = receivers(m)
	return s, nil
}

// freeBytes is the free space in the backup directory; nil where the system does not report it.
func freeBytes(m *Manager) *int64 {
	free, err := durable.FreeSpace(m.cfg.Dir)
	if err != nil {
		return nil
	}
	return &free
}

// gatherFacts looks up what a status is judged by.
func gatherFacts(ctx context.Context, m *Manager) (f protection.Facts, err error) {
	f = protection.Facts{Now: m.now(), Slack: protection.Grace + m.present.Load().Jitter, Path: m.cfg.Database}
	if f.State, err = m.mem.State(); err != nil {
		return f, err
	}
	f.Promised, f.Place = m.present.Load().promised(f.State), m.cat.CheckPlace()
	f.Exposed = catalogfile.Exposure(m.cfg.Dir)
	if st, err := os.Stat(m.cfg.Database); err == nil {
		f.DatabaseBytes = st.Size()
	}
	f.Probe, f.ProbeErr = m.look(ctx, integrity.LevelProbe, min(m.cfg.LockWait, statusPatience))
	if ctx.Err() != nil {
		return f, ctx.Err()
	}
	if _, running, err := m.cat.ServeRunning(); err == nil {
		f.Serving = running
	}
	all, err := m.cat.All()
	if err != nil {
		return f, err
	}
	f.Count(all)
	if f.Latest != nil {
		f.Archive = m.cat.Present(*f.Latest)
	}
	if fingerprint, err := livedb.TakeFingerprint(m.cfg.Database); err == nil {
		_, f.Covered = m.covering(fingerprint)
	}
	if f.Log, err = logStatus(ctx, m, f); err != nil {
		return f, err
	}
	if f.Place == nil {
		if f.Remotes, err = remote.Statuses(ctx, factsOf(m), m.present.Load().Remotes, m.now()); err != nil {
			return f, err
		}
	}
	f.Capture = f.State.Continuous != "" && f.State.Continuous != continuousOff
	f.Now = m.now() // what was looked at meanwhile is not from the future
	f.Broken, err = breakOf(ctx, m, f.Now)
	return f, err
}

// Day is one day, in UTC, of the protection's history.
type Day = activity.Day

// DayState is what became of one day's protection.
type DayState = activity.DayState

// The states of a day.
const (
	DayOK, DayUnchanged, DayFailed = activity.DayOK, activity.DayUnchanged, activity.DayFailed
	DayOverdue, DayNone            = activity.DayOverdue, activity.DayNone
)

// maxHistory is the most days that History looks back.
const maxHistory = 366

// History returns the last days, the oldest first and today last, at most 366.
func (m *Manager) History(days int) ([]Day, error) {
	days = min(max(days, 1), maxHistory)
	f, err := historyFacts(m)
	if err != nil {
		return nil, fmt.Errorf("history: %w", explain(err))
	}
	all, err := m.act.History(days, f)
	if err != nil {
		return nil, fmt.Errorf("history: %w", explain(err))
	}
	return all, nil
}

// historyFacts is what the days are judged by, as it is now.
func historyFacts(m *Manager) (activity.Facts, error) {
	f := activity.Facts{Now: m.now(), Slack: protection.Grace + m.present.Load().Jitter}
	var err error
	if f.Revision, err = m.cat.Revision(); err != nil { // before reading: what comes meanwhile is then read again
		return f, err
	}
	backups, state, err := m.cat.Read()
	if err != nil {
		return f, err
	}
	f.Schedule = m.present.Load().promised(state)
	if _, f.Serving, err = m.cat.ServeRunning(); err != nil {
		return f, err
	}
	if fingerprint, err := livedb.TakeFingerprint(m.cfg.Database); err == nil { // else it is not known to be covered
		if b, ok := m.covering(fingerprint); ok {
			f.Covered = b.ID
		}
	}
	for _, b := range backups {
		if b.Verification.State != catalog.Failed {
			f.Stored = append(f.Stored, activity.Stored{ID: b.ID, CreatedAt: b.CreatedAt, DatabaseBytes: b.DatabaseBytes, ArchiveBytes: b.ArchiveBytes})
		}
	}
	return f, nil
}

// AcknowledgeRecovery notes that a person knows what the recoveries up to now have lost, and returns
// them: [Status] reports them no longer. The files that they kept stay. Errors: [ErrBusy].
func (m *Manager) AcknowledgeRecovery(ctx context.Context) (known []Recovered, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.LockWait)
	defer cancel()
	err = m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		known = recovery.Unseen(m.cfg.Dir, *tx.State())
		for i := range tx.State().Recovered {
			tx.State().Recovered[i].Seen = true
		}
		return nil
	})
	if errors.Is(err, catalogfile.ErrNoDirectory) {
		return []Recovered{}, nil // there was no recovery
	}
	if err != nil {
		return nil, fmt.Errorf("acknowledge the recovery: %w", explain(err))
	}
	for _, r := range known {
		m.Record(Activity{Who: callerOf(ctx).Who, Action: "acknowledge", Outcome: "done", Detail: "the recovery of " + r.At.Format(time.RFC3339) + " lost " + r.Loses})
	}
	return known, nil
}
