package snapshot

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/schedule"
)

// DayState is what became of one day's protection.
type DayState string

const (
	DayOK        DayState = "ok"        // a verified backup was made
	DayUnchanged DayState = "unchanged" // none was needed: the database was provably as the newest has it
	DayFailed    DayState = "failed"    // a backup failed, and none succeeded after it
	DayOverdue   DayState = "overdue"   // the schedule promised a backup that did not come
	DayNone      DayState = "none"      // nothing was promised, or nothing is known
)

// Day is one day, in UTC, of the protection's history.
type Day struct {
	Date          string   `json:"date"` // 2026-11-25
	State         DayState `json:"state"`
	Backups       int      `json:"backups"` // made, those that have been removed since too
	Failed        int      `json:"failed"`
	DatabaseBytes int64    `json:"database_bytes"` // of the day's last backup; 0 for unknown
	ArchiveBytes  int64    `json:"archive_bytes"`
	Detail        string   `json:"detail"` // one sentence, or ""
}

// maxHistory is the most days that History looks back.
const maxHistory = 366

// lastHistory is the answer that was given last, for whoever asks again: many look at
// the same page.
type lastHistory struct {
	mu   sync.Mutex
	key  historyKey
	days []Day
}

// historyKey is everything that the answer depends on.
type historyKey struct {
	days      int
	minute    time.Time
	revision  string
	schedule  Schedule
	serving   bool
	covered   string
	idleSince time.Time
}

// History returns the last days, the oldest first and today last, at most 366.
func (m *Manager) History(days int) ([]Day, error) {
	days = min(max(days, 1), maxHistory)
	p := past{now: m.now(), slack: grace + m.cfg.Jitter}
	revision, err := m.Revision() // before reading: what comes meanwhile is then read again
	if err == nil {
		err = m.standsNow(&p)
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", explain(err))
	}
	idle, _ := m.act.pending()
	key := historyKey{days, p.now.Truncate(time.Minute), revision, p.schedule, p.serving, p.covered, idle.At}
	m.past.mu.Lock()
	defer m.past.mu.Unlock()
	if key != m.past.key {
		if err := m.recall(&p); err != nil {
			return nil, fmt.Errorf("history: %w", explain(err))
		}
		m.past.key, m.past.days = key, p.days(days)
	}
	return slices.Clone(m.past.days), nil
}

// standsNow fills in how things stand now.
func (m *Manager) standsNow(p *past) (err error) {
	state, err := m.cat.State()
	if err != nil {
		return err
	}
	p.schedule = m.cfg.promised(state)
	if _, p.serving, err = m.cat.ServeRunning(); err != nil {
		return err
	}
	if print, err := livedb.TakeFingerprint(m.cfg.Database); err == nil { // else it is not known to be covered
		if b, ok := m.covering(print); ok {
			p.covered = b.ID
		}
	}
	return nil
}

// recall reads the activity log and the catalog.
func (m *Manager) recall(p *past) error {
	err := m.act.log.Each(func(a Activity) bool {
		p.enter(a)
		return true
	})
	if err != nil {
		return err
	}
	slices.Reverse(p.marks)
	if a, waits := m.act.pending(); waits {
		p.enter(a)
	}
	backups, err := m.cat.Entries()
	for _, b := range backups {
		p.hold(b)
	}
	return err
}

// days judges the last n days.
func (p *past) days(n int) []Day {
	if p.covered != "" && p.serving {
		p.marks = append(p.marks, mark{kind: wasUnchanged, from: p.now, at: p.now, backup: p.covered})
	}
	slices.SortStableFunc(p.marks, func(a, b mark) int { return a.at.Compare(b.at) })
	p.bridge()
	today := p.now.UTC().Truncate(24 * time.Hour)
	out := make([]Day, 0, n)
	for i := n - 1; i >= 0; i-- {
		from := today.AddDate(0, 0, -i)
		to := from.AddDate(0, 0, 1)
		if i == 0 {
			to = p.now.Add(1)
		}
		out = append(out, p.day(from, to))
	}
	return out
}

// day judges the time from from up to but not at to.
func (p *past) day(from, to time.Time) Day {
	d := Day{Date: from.Format(time.DateOnly)}
	var good, made, failed mark // the last of that day
	for _, k := range p.marks {
		if k.at.Before(from) || !k.from.Before(to) {
			continue
		}
		switch k.kind {
		case wasMade:
			d.Backups, d.DatabaseBytes, d.ArchiveBytes = d.Backups+1, k.database, k.archive
			good, made = k, k
		case wasUnchanged:
			good = k
		case hasFailed:
			d.Failed++
			failed = k
		}
	}
	due, late := p.overdue(to)
	today := to.After(p.now)
	switch {
	case d.Failed > 0 && (good.at.IsZero() || good.at.Before(failed.at)):
		d.State = DayFailed
		d.Detail = fmt.Sprintf("%s, the last at %s: %s", several(d.Failed, "backup failed", "backups failed"), clock(failed.at), failed.detail)
	case late && (good.at.IsZero() || today) && (!today || p.covered == ""):
		d.State, d.Detail = DayOverdue, fmt.Sprintf("a backup was due on %s at %s, and none came", due.UTC().Format(time.DateOnly), clock(due))
	case d.Backups > 0:
		d.State, d.Detail = DayOK, fmt.Sprintf("%s, the last at %s", several(d.Backups, "backup", "backups"), clock(made.at))
	case !good.at.IsZero(), today && p.covered != "":
		d.State, d.Detail = DayUnchanged, "the database was as the newest backup has it"
	default:
		d.State = DayNone
	}
	return d
}

func several(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func clock(t time.Time) string { return t.UTC().Format("15:04 UTC") }

// overdue reports whether, at the end of a day, the schedule had wanted a backup that
// had not come. Of the time before the log nothing is known, but of the present moment.
func (p *past) overdue(to time.Time) (due time.Time, late bool) {
	if known := p.known; known.IsZero() && to.Before(p.now) || !known.IsZero() && !to.After(known) {
		return time.Time{}, false
	}
	var last time.Time
	promised := p.schedule
	for _, k := range p.marks { // in the order of at
		switch {
		case k.kind == hasStarted && k.schedule != "" && k.at.Before(to) && !to.After(p.now):
			promised = schedule.Parse(k.schedule)
		case k.good() && k.from.Before(to):
			if at := k.at; at.Before(to) {
				last = at
			} else {
				last = to
			}
		}
	}
	if last.IsZero() {
		return time.Time{}, false
	}
	if due = promised.Next(last); due.IsZero() {
		return time.Time{}, false
	}
	return due, to.Add(-1).After(due.Add(p.slack)) // at the last moment before to
}
