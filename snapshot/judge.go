package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/adhocore/gronx"
	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
)

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

// judge fills in whether the data is safe, and why.
func (m *Manager) judge(s *Status, state catalog.State, checkErr error) error {
	latest, err := m.cat.Get("latest")
	if errors.Is(err, ErrNotFound) {
		all, err := m.cat.Entries()
		s.State, s.Code, s.Reason = Unprotected, WhyNoBackup, "there is no verified backup"
		if len(all) > 0 {
			s.Code = WhyUnverified
			s.Reason = fmt.Sprintf("there is no verified backup: of %d that are stored none is proven; verify --all does that", len(all))
		}
		return err
	}
	if err != nil {
		return err
	}
	s.EstimatedRestoreMS = m.measuredRestore(latest, state, s.Database.Bytes)
	if !m.present(latest) {
		s.State, s.Code, s.Reason = AtRisk, WhyArchiveGone, "the archive of the newest verified backup, "+latest.File+", is gone or was changed"
		return nil
	}
	seconds := int64(max(0, m.now().Sub(latest.CreatedAt)) / time.Second)
	s.NewestVerified, s.LossWindow = &latest.ID, &seconds
	if print, err := livedb.TakeFingerprint(m.cfg.Database); err == nil {
		_, s.Covered = m.covering(print)
	}
	s.Code, s.Reason = m.why(s, latest, state, checkErr)
	s.State = AtRisk
	if s.Code == WhyUnchanged || s.Code == WhyRecent {
		s.State = Protected
	}
	return nil
}

// why tells why the database is protected by latest, or at risk in spite of it.
func (m *Manager) why(s *Status, latest Backup, state catalog.State, checkErr error) (code Why, reason string) {
	age := humanize.RelTime(latest.CreatedAt, m.now(), "ago", "from now")
	if age == "now" {
		age = "just now"
	}
	if checkErr != nil {
		return WhyCheckFailed, "the database could not be checked: " + checkErr.Error()
	}
	switch *s.Database.Verdict {
	case integrity.Corrupt, integrity.NotADatabase:
		return WhyDamaged, fmt.Sprintf("the database is damaged and no longer backed up; the newest good backup was taken %s", age)
	case integrity.Missing, integrity.Empty:
		if latest.DatabaseBytes > 0 {
			return WhyMissing, fmt.Sprintf("the database is %s; the newest backup was taken %s", *s.Database.Verdict, age)
		}
	}
	if f, failed := newest(state.LastFailure); failed && !mended(f, state) {
		if ok, any := newest(state.LastSuccess); !any || f.At.After(ok.At) {
			return WhyFailed, "the last backup failed: " + strings.TrimPrefix(f.Message, "backup: ")
		}
	}
	if s.Covered {
		return WhyUnchanged, fmt.Sprintf("the database is unchanged since the verified backup taken %s", age)
	}
	if latest.CreatedAt.After(m.now().Add(grace)) {
		return WhyClock, fmt.Sprintf("the newest verified backup is dated %s: the clock was or is wrong, and its age is not known", latest.CreatedAt.Format(time.RFC3339))
	}
	if due, late := m.overdue(latest, state.Schedule); late {
		return WhyOverdue, fmt.Sprintf("a backup was due %s; the newest verified one was taken %s",
			humanize.RelTime(due, m.now(), "ago", "from now"), age)
	}
	return WhyRecent, fmt.Sprintf("the newest verified backup was taken %s", age)
}

// mended reports whether a backup failed for the database's own sake, which a
// restore has put right since.
func mended(f catalog.Outcome, state catalog.State) bool {
	return (f.Code == "missing" || f.Code == "corrupt") && state.LastRestore != nil && state.LastRestore.At.After(f.At)
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
