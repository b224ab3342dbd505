// Package schedule says when automatic backups are due: by an interval, by a cron
// expression, and after changes; and which of the stored ones are to be read again. It is pure: it is given the time, it waits for
// nothing, and it imports no other package of this module.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// Schedule says when automatic backups are made: by Cron where that is set, else at
// an interval. The zero value schedules none.
type Schedule struct {
	IntervalSeconds int64  `json:"interval_seconds"` // 0 with Cron
	Cron            string `json:"cron"`             // five fields, in the process's time zone
}

// New returns the schedule by cron, or by interval where cron is empty. An interval
// counts in whole seconds; one that is not positive schedules nothing.
func New(interval time.Duration, cron string) Schedule {
	if cron != "" {
		return Schedule{Cron: cron}
	}
	return Schedule{IntervalSeconds: max(0, int64(interval/time.Second))}
}

// Every returns the schedule by interval.
func Every(interval time.Duration) Schedule { return New(interval, "") }

// ValidCron reports whether expr is a cron expression.
func ValidCron(expr string) bool { return gronx.IsValid(expr) }

// Interval is the time between two backups; 0 with Cron, or without a schedule.
func (s Schedule) Interval() time.Duration {
	if s.Cron != "" {
		return 0
	}
	return time.Duration(s.IntervalSeconds) * time.Second
}

// Next returns the time after t that the schedule names, the zero time for none: a
// cron expression may name a day that never comes.
func (s Schedule) Next(t time.Time) time.Time {
	switch interval := s.Interval(); {
	case s.Cron != "":
		next, err := gronx.NextTickAfter(s.Cron, t.Local(), false)
		if err != nil {
			return time.Time{}
		}
		return next.UTC()
	case interval > 0:
		return t.Add(interval)
	}
	return time.Time{}
}

// Roll returns the first scheduled time after now that follows from the scheduled
// time t: an idle service does not record each time that passes.
func (s Schedule) Roll(t, now time.Time) time.Time {
	if t.After(now) {
		return t
	}
	if interval := s.Interval(); interval > 0 {
		return t.Add((now.Sub(t)/interval + 1) * interval)
	}
	return s.Next(now)
}

// From returns Next, except that it gives first before the times that follow from it.
// A zero first is none.
func (s Schedule) From(first time.Time) func(after time.Time) time.Time {
	return func(after time.Time) time.Time {
		if first.After(after) {
			return first
		}
		return s.Next(after)
	}
}

// Overdue reports whether at now, and when, a backup was due that the one made at
// latest is too old to be; slack is how late a backup may be.
func (s Schedule) Overdue(latest, now time.Time, slack time.Duration) (due time.Time, late bool) {
	if s.Cron == "" {
		if due = s.Next(latest); due.IsZero() {
			return time.Time{}, false
		}
		return due, now.After(due.Add(slack))
	}
	// The last tick, not the first one missed: it is the one that people remember.
	due, err := gronx.PrevTickBefore(s.Cron, now.Local(), true)
	if err != nil || !latest.Before(due) {
		return time.Time{}, false
	}
	return due, now.After(due.Add(slack))
}

// everyPrefix begins an interval where a cron expression could stand.
const everyPrefix = "@every "

// String is the schedule in one word, as [Parse] reads it; "" for none.
func (s Schedule) String() string {
	if interval := s.Interval(); interval > 0 {
		return everyPrefix + interval.String()
	}
	return s.Cron
}

// Parse reads what String wrote. A word that cannot be read schedules nothing.
func Parse(word string) Schedule {
	text, every := strings.CutPrefix(word, everyPrefix)
	if !every {
		return Schedule{Cron: word}
	}
	interval, err := time.ParseDuration(text)
	if err != nil {
		return Schedule{}
	}
	return Every(interval)
}

// Describe says for people when backups are made.
func (s Schedule) Describe() string {
	switch {
	case s.Cron != "":
		return fmt.Sprintf("a backup by cron %q", s.Cron)
	case s.IntervalSeconds > 0:
		return "a backup every " + short(s.Interval())
	}
	return "no schedule"
}

// short is a duration as people write it: 12h, not 12h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
