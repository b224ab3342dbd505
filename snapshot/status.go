package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/adhocore/gronx"
	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/livefile"
)

// Protection is the one-word answer to "is the data safe?".
type Protection string

const (
	Protected   Protection = "protected"   // a verified backup covers the database as the schedule promises
	AtRisk      Protection = "at_risk"     // there is a verified backup, but something is wrong: see the reason
	Unprotected Protection = "unprotected" // there is no verified backup
)

// Status is the state of the protection.
type Status struct {
	State          Protection            `json:"state"`
	Reason         string                `json:"reason"` // one sentence
	Database       DatabaseStatus        `json:"database"`
	NewestVerified *string               `json:"newest_verified"`     // backup id
	LossWindow     *int64                `json:"loss_window_seconds"` // age of the newest verified backup
	Covered        bool                  `json:"covered"`             // the database is provably unchanged since then
	NextRun        *time.Time            `json:"next_run"`            // null while no serve runs
	LastDrill      *catalog.DrillOutcome `json:"last_drill"`
	// Recovery is what Recover would do; null where nothing is wrong with the database.
	Recovery *RecoveryPlan `json:"recovery"`
}

// DatabaseStatus is what Status says of the live file. Verdict is of a probe,
// or the worse one of the last check; null when it could not be looked at.
type DatabaseStatus struct {
	Path    string             `json:"path"`
	Bytes   int64              `json:"bytes"` // of the main file
	Verdict *integrity.Verdict `json:"verdict"`
}

// Stats are the figures of the backup directory. Latest and Oldest are ids.
type Stats struct {
	Count       int        `json:"count"`
	Automatic   int        `json:"automatic"`
	Manual      int        `json:"manual"`
	TotalSize   int64      `json:"total_size"`    // bytes of the archives
	TotalSizeMB float64    `json:"total_size_mb"` // MiB
	Latest      *string    `json:"latest"`
	LatestTime  *time.Time `json:"latest_time"`
	Oldest      *string    `json:"oldest"`
	OldestTime  *time.Time `json:"oldest_time"`
}

// Backups returns all backups, newest first.
func (m *Manager) Backups() ([]Backup, error) {
	all, err := m.cat.Entries()
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	for i := range all {
		all[i] = all[i].Public()
	}
	return all, nil
}

// Page returns at most limit backups of that kind, "" for both, the newest first,
// from cursor on; "" is the beginning. next is "" after the oldest. Errors: [ErrCursor].
func (m *Manager) Page(kind catalog.Kind, cursor string, limit int) (page []Backup, next string, err error) {
	page, next, err = m.cat.Page(catalog.Filter{Kind: kind}, cursor, limit)
	for i := range page {
		page[i] = page[i].Public()
	}
	return page, next, err
}

// Find returns one backup; "latest" is the newest verified one.
func (m *Manager) Find(id string) (Backup, error) {
	e, err := m.cat.Get(id)
	return e.Public(), err
}

// ArchivePath returns the absolute path of a backup's file.
func (m *Manager) ArchivePath(b Backup) string { return m.cat.Path(b) }

// At returns the newest verified backup taken at or before t.
func (m *Manager) At(t time.Time) (Backup, error) {
	all, err := m.cat.Entries()
	if err != nil {
		return Backup{}, fmt.Errorf("list: %w", err)
	}
	for _, e := range all {
		if e.Usable() && !e.CreatedAt.After(t) {
			return e.Public(), nil
		}
	}
	return Backup{}, hint(fmt.Errorf("%w: none verified was taken at or before %s", ErrNotFound, t.Format(time.RFC3339)), "see list for what there is")
}

// Stats returns the figures.
func (m *Manager) Stats() (Stats, error) {
	all, err := m.cat.Entries()
	if err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	s := Stats{Count: len(all)}
	for _, e := range all {
		if e.Kind == catalog.Manual {
			s.Manual++
		} else {
			s.Automatic++
		}
		s.TotalSize += e.ArchiveBytes
	}
	s.TotalSizeMB = float64(s.TotalSize*100/(1<<20)) / 100
	if len(all) > 0 {
		first, last := all[0], all[len(all)-1]
		s.Latest, s.LatestTime, s.Oldest, s.OldestTime = &first.ID, &first.CreatedAt, &last.ID, &last.CreatedAt
	}
	return s, nil
}

// Check judges the live database at level and remembers the outcome. It takes
// no operation lock: checking disturbs nobody.
func (m *Manager) Check(ctx context.Context, level integrity.Level) (Report, error) {
	m.begun(ctx, "check", "")
	began := m.now()
	report, err := m.look(ctx, level, m.cfg.LockWait)
	if err != nil {
		return report, m.failed(ctx, "check", "", explain(err))
	}
	m.rememberCheck(report)
	m.tellCheck(ctx, report, m.now().Sub(began))
	return report, nil
}

// tellCheck tells how a check of the live database ended.
func (m *Manager) tellCheck(ctx context.Context, r Report, took time.Duration) {
	ev := Event{Type: EventChecked, Operation: "check", Path: m.cfg.Database, Message: "database integrity check passed",
		more: Activity{Detail: fmt.Sprintf("level %s: %s", r.Level, r.Verdict), DurationMS: took.Milliseconds()}}
	switch {
	case r.Damaged():
		ev.Type, ev.Message = EventFailed, "database integrity check failed"
		ev.Err = &CorruptError{What: "database " + m.cfg.Database, Report: r}
	case r.Verdict == integrity.Missing, r.Verdict == integrity.Empty:
		ev.Message = fmt.Sprintf("there is no database to be checked: %s", r.Verdict)
	}
	m.ev.emit(ctx, ev)
}

// look checks without the operation lock, so a private copy, where one is
// needed, goes where no other operation sweeps: the system's temporary directory.
func (m *Manager) look(ctx context.Context, level integrity.Level, wait time.Duration) (Report, error) {
	return integrity.Check(ctx, m.cfg.Database, integrity.Options{Level: level, LockWait: wait})
}

// statusPatience is how long Status waits for somebody's lock.
const statusPatience = 2 * time.Second

// Status says whether the data is safe, and why. It probes the database but
// changes nothing.
func (m *Manager) Status(ctx context.Context) (Status, error) {
	state, err := m.cat.State()
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	s := Status{Database: DatabaseStatus{Path: m.cfg.Database}, LastDrill: state.LastDrill}
	if st, err := os.Stat(m.cfg.Database); err == nil {
		s.Database.Bytes = st.Size()
	}
	report, checkErr := m.look(ctx, integrity.LevelProbe, min(m.cfg.LockWait, statusPatience))
	if ctx.Err() != nil {
		return Status{}, ctx.Err()
	}
	if checkErr == nil {
		s.Database.Verdict = worse(report.Verdict, state)
	}
	s.Recovery = m.recoveryFor(s.Database.Verdict, report, state)
	if _, running, err := m.cat.ServeRunning(); err == nil && running {
		s.NextRun = m.rolledNext(state.NextRun)
	}
	latest, err := m.cat.Get("latest")
	if errors.Is(err, ErrNotFound) {
		s.State, s.Reason = Unprotected, "there is no verified backup"
		if all, err := m.cat.Entries(); err == nil && len(all) > 0 {
			s.Reason = fmt.Sprintf("there is no verified backup; verify --all proves those that are stored (%d)", len(all))
		}
		return s, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	if !m.present(latest) {
		s.State, s.Reason = AtRisk, "the archive of the newest verified backup, "+latest.File+", is gone or was changed"
		return s, nil
	}
	age := max(0, m.now().Sub(latest.CreatedAt))
	seconds := int64(age / time.Second)
	s.NewestVerified, s.LossWindow = &latest.ID, &seconds
	if print, err := livefile.TakeFingerprint(m.cfg.Database); err == nil {
		_, s.Covered = m.covering(print)
	}
	s.State, s.Reason = m.judge(s, latest, state, checkErr)
	return s, nil
}

// worse returns the probe's verdict, unless the last deeper look found damage
// and no backup has succeeded since: a probe does not see everything.
func worse(probe integrity.Verdict, state catalog.State) *integrity.Verdict {
	last := integrity.Verdict("")
	at := time.Time{}
	if c := state.LastCheck; c != nil {
		last, at = integrity.Verdict(c.Verdict), c.At
	}
	if f, ok := newest(state.LastFailure); ok && f.Code == "corrupt" && f.At.After(at) {
		last, at = integrity.Corrupt, f.At
	}
	// A backup's success speaks for the structure, not for the application's rules.
	if s, ok := newest(state.LastSuccess); ok && s.At.After(at) && last != integrity.Violations {
		return &probe
	}
	if probe == integrity.Healthy && last != "" && last != integrity.Missing && last != integrity.Empty {
		return &last
	}
	return &probe
}

// newest returns the latest outcome of any trigger.
func newest(all map[catalog.Trigger]catalog.Outcome) (catalog.Outcome, bool) {
	var last catalog.Outcome
	for o := range maps.Values(all) {
		if o.At.After(last.At) {
			last = o
		}
	}
	return last, !last.At.IsZero()
}

// judge decides between protected and at risk.
func (m *Manager) judge(s Status, latest Backup, state catalog.State, checkErr error) (Protection, string) {
	age := humanize.RelTime(latest.CreatedAt, m.now(), "ago", "from now")
	if age == "now" {
		age = "just now"
	}
	if checkErr != nil {
		return AtRisk, "the database could not be checked: " + checkErr.Error()
	}
	switch *s.Database.Verdict {
	case integrity.Corrupt, integrity.NotADatabase:
		return AtRisk, fmt.Sprintf("the database is damaged and no longer backed up; the newest good backup was taken %s", age)
	case integrity.Missing, integrity.Empty:
		if latest.DatabaseBytes > 0 {
			return AtRisk, fmt.Sprintf("the database is %s; the newest backup was taken %s", *s.Database.Verdict, age)
		}
	}
	if f, failed := newest(state.LastFailure); failed {
		if ok, any := newest(state.LastSuccess); !any || f.At.After(ok.At) {
			return AtRisk, "the last backup failed: " + f.Message
		}
	}
	if s.Covered {
		return Protected, fmt.Sprintf("the database is unchanged since the verified backup taken %s", age)
	}
	if latest.CreatedAt.After(m.now().Add(grace)) {
		return AtRisk, fmt.Sprintf("the newest verified backup is dated %s: the clock was or is wrong, and its age is not known", latest.CreatedAt.Format(time.RFC3339))
	}
	if due, late := m.overdue(latest, state.Schedule); late {
		return AtRisk, fmt.Sprintf("a backup was due %s; the newest verified one was taken %s",
			humanize.RelTime(due, m.now(), "ago", "from now"), age)
	}
	return Protected, fmt.Sprintf("the newest verified backup was taken %s", age)
}

// grace is how long after its due time a backup counts as overdue.
const grace = 10 * time.Minute

// overdue reports whether the schedule wanted a backup that was not made: that of
// the serve that runs, or died, else the configured one.
func (m *Manager) overdue(latest Backup, kept *catalog.Schedule) (due time.Time, late bool) {
	interval, cron := m.cfg.Interval, m.cfg.Cron
	if kept != nil {
		interval, cron = kept.Interval, kept.Cron
	}
	switch {
	case cron != "":
		tick, err := gronx.PrevTickBefore(cron, m.now().Local(), true)
		if err != nil || !latest.CreatedAt.Before(tick) {
			return time.Time{}, false
		}
		due = tick
	case interval > 0:
		due = latest.CreatedAt.Add(interval)
	default:
		return time.Time{}, false
	}
	return due, m.now().After(due.Add(grace + m.cfg.Jitter))
}

// rememberFailure keeps a failed backup for Status.
func (m *Manager) rememberFailure(trigger catalog.Trigger, cause error) {
	m.rememberState("failure", func(s *catalog.State) {
		s.Failed(trigger, m.now(), Code(cause), cause.Error())
	})
}

// rememberCheck keeps the outcome of a check of the live database. A shallow look
// that saw nothing does not take back what a deeper one found.
func (m *Manager) rememberCheck(r Report) {
	if last, err := m.cat.State(); err == nil && last.LastCheck != nil && r.Verdict == integrity.Healthy {
		deeper, err := integrity.ParseLevel(last.LastCheck.Level)
		if err == nil && deeper > r.Level && last.LastCheck.Verdict != string(r.Verdict) && last.LastCheck.Verdict != string(integrity.Missing) {
			return
		}
	}
	if last, err := m.cat.State(); err == nil && last.LastCheck != nil && r.Verdict == integrity.Healthy &&
		last.LastCheck.Verdict == string(r.Verdict) && m.now().Sub(last.LastCheck.At) < time.Minute {
		return // nothing new: no write
	}
	m.noteCheck(r)
}

// noteCheck keeps the outcome of a check, whatever an earlier one said.
func (m *Manager) noteCheck(r Report) {
	m.rememberState("check", func(s *catalog.State) {
		s.LastCheck = &catalog.CheckOutcome{At: m.now(), Level: r.Level.String(), Verdict: string(r.Verdict), Mendable: r.Mendable()}
	})
}

// rememberState keeps something beside the entries. That it could not be kept
// is said, and does not change the outcome of what is being remembered.
func (m *Manager) rememberState(what string, change func(*catalog.State)) {
	m.remembering(what, func(tx *catalog.Tx) { change(tx.State()) })
}

func (m *Manager) remembering(what string, change func(*catalog.Tx)) {
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.LockWait)
	defer cancel()
	err := m.cat.Update(ctx, func(tx *catalog.Tx) error {
		change(tx)
		return nil
	})
	if err != nil && !errors.Is(err, catalog.ErrNoDirectory) && !errors.Is(err, catalog.ErrReadOnly) && !errors.Is(err, fs.ErrNotExist) {
		m.ev.emit(ctx, Event{Type: EventWarning, Err: err, Message: "could not remember the last " + what})
	}
}
