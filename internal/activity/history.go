package activity

import (
	"fmt"
	"slices"
	"sync"
	"time"

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

// Facts are what a history is judged by, in addition to the log.
type Facts struct {
	Now      time.Time
	Schedule schedule.Schedule // that is promised now
	Slack    time.Duration     // how late a backup may be
	Serving  bool              // a service is at work now
	Covered  string            // id of the backup that the database is provably unchanged since; "" for none
	Stored   []Stored          // the backups that there are
	Revision string            // of the backups: Stored changes with it only
}

// Stored is a backup that there is, and that has not failed its proof.
type Stored struct {
	ID            string
	CreatedAt     time.Time
	DatabaseBytes int64
	ArchiveBytes  int64
}

// answered is the history that was asked for last: many look at the same page.
type answered struct {
	mu   sync.Mutex
	key  historyKey
	days []Day
}

// historyKey is everything that a history depends on.
type historyKey struct {
	n            int
	minute, idle time.Time
	backups, log string // their revisions
	schedule     schedule.Schedule
	serving      bool
	covered      string
}

// History returns the last n days, the oldest first and today last. Errors: those of
// Page.
func (j *Journal) History(n int, f Facts) ([]Day, error) {
	idle, _ := j.Pending()
	log, err := j.log.Revision() // before reading: what comes meanwhile is then read again
	if err != nil {
		return nil, err
	}
	key := historyKey{n, f.Now.Truncate(time.Minute), idle.At, f.Revision, log, f.Schedule, f.Serving, f.Covered}
	j.past.mu.Lock()
	defer j.past.mu.Unlock()
	if key != j.past.key {
		days, err := j.readHistory(n, f)
		if err != nil {
			return nil, err
		}
		j.past.key, j.past.days = key, days
	}
	return slices.Clone(j.past.days), nil
}

func (j *Journal) readHistory(n int, f Facts) ([]Day, error) {
	var log []Entry
	err := j.each(nil, func(r Record) bool {
		log = append(log, r.Entry)
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(log)
	if e, waits := j.Pending(); waits {
		log = append(log, e)
	}
	return history(n, f, log), nil
}

// history judges the last n days by the log, which comes oldest first, and by f.
func history(n int, f Facts, log []Entry) []Day {
	p := past{Facts: f}
	for _, e := range log {
		p.enter(e)
	}
	for _, b := range f.Stored {
		p.hold(b)
	}
	if p.Covered != "" && p.Serving {
		p.marks = append(p.marks, mark{kind: wasUnchanged, from: p.Now, at: p.Now, backup: p.Covered})
	}
	slices.SortStableFunc(p.marks, func(a, b mark) int { return a.at.Compare(b.at) })
	p.bridge()
	today := p.Now.UTC().Truncate(24 * time.Hour)
	out := make([]Day, 0, n)
	for i := n - 1; i >= 0; i-- {
		from := today.AddDate(0, 0, -i)
		to := from.AddDate(0, 0, 1)
		if i == 0 {
			to = p.Now.Add(1)
		}
		out = append(out, p.day(from, to))
	}
	return out
}

// past is what is known of what was done.
type past struct {
	Facts
	marks []mark
	known time.Time // from when on the log says everything; zero without a log
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
	today := to.After(p.Now)
	switch {
	case d.Failed > 0 && (good.at.IsZero() || good.at.Before(failed.at)):
		d.State = DayFailed
		d.Detail = fmt.Sprintf("%s, the last at %s: %s", several(d.Failed, "backup failed", "backups failed"), clock(failed.at), failed.detail)
	case late && (good.at.IsZero() || today) && (!today || p.Covered == ""):
		d.State, d.Detail = DayOverdue, fmt.Sprintf("a backup was due on %s at %s, and none came", due.UTC().Format(time.DateOnly), clock(due))
	case d.Backups > 0:
		d.State, d.Detail = DayOK, fmt.Sprintf("%s, the last at %s", several(d.Backups, "backup", "backups"), clock(made.at))
	case !good.at.IsZero(), today && p.Covered != "":
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
	if known := p.known; known.IsZero() && to.Before(p.Now) || !known.IsZero() && !to.After(known) {
		return time.Time{}, false
	}
	var last time.Time
	promised := p.Schedule
	for _, k := range p.marks { // in the order of at
		switch {
		case k.kind == hasStarted && k.schedule != "" && k.at.Before(to) && !to.After(p.Now):
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
	return due, to.Add(-1).After(due.Add(p.Slack)) // at the last moment before to
}
