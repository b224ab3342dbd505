package catalog

import (
	"cmp"
	"slices"
	"time"
)

// Special quotas of a Policy.
const (
	Unlimited = -1 // keep all
	None      = -2 // keep none by this rule
)

// What is kept of automatic backups where a Policy does not say: the newest ones, and one of
// each of so many days.
const (
	DefaultLast  = 10
	DefaultDaily = 7
)

// Policy says how many automatic backups to keep. Each field is a quota of its
// own rule: a backup stays when any rule wants it. 0 is the default, DefaultLast
// for Last, DefaultDaily for Daily and None for the others; Unlimited and None say so explicitly.
// Periods are those of UTC, weeks those of ISO 8601.
type Policy struct {
	Last    int `json:"last"`   // the newest ones
	Hourly  int `json:"hourly"` // the newest one of each of so many hours that have any
	Daily   int `json:"daily"`
	Weekly  int `json:"weekly"`
	Monthly int `json:"monthly"`
	Yearly  int `json:"yearly"`
}

// Decision is what Plan says about one backup, and why.
type Decision struct {
	ID     string `json:"id"`
	Keep   bool   `json:"keep"`
	Reason string `json:"reason"`
	// Until is when a kept automatic backup will go if the schedule goes on as it does;
	// nil where that is not in sight, never, or not asked for. See Forecast.
	Until *time.Time `json:"until"`
}

// last resolves the default of Last. Quotas of no meaning keep all.
func (p Policy) last() int {
	return quota(cmp.Or(p.Last, DefaultLast))
}

func quota(n int) int {
	switch {
	case n == None:
		return 0
	case n < 0:
		return Unlimited
	}
	return n
}

// periods returns the period rules that have a quota.
func (p Policy) periods() []period {
	all := []period{
		{name: "hour", quota: quota(p.Hourly), number: hourNumber},
		{name: "day", quota: quota(cmp.Or(p.Daily, DefaultDaily)), number: dayNumber},
		{name: "week", quota: quota(p.Weekly), number: weekNumber},
		{name: "month", quota: quota(p.Monthly), number: monthNumber},
		{name: "year", quota: quota(p.Yearly), number: yearNumber},
	}
	return slices.DeleteFunc(all, func(r period) bool { return r.quota == 0 })
}

const daySeconds = 24 * 60 * 60

func hourNumber(t time.Time) int64 { return floorDiv(t.Unix(), 60*60) }

func dayNumber(t time.Time) int64 { return floorDiv(t.Unix(), daySeconds) }

// weekNumber counts weeks that begin on Monday (ISO 8601); 1 January 1970 was a Thursday.
func weekNumber(t time.Time) int64 { return floorDiv(dayNumber(t)+3, 7) }

func monthNumber(t time.Time) int64 {
	year, month, _ := t.UTC().Date()
	return int64(year)*12 + int64(month)
}

func yearNumber(t time.Time) int64 { return int64(t.UTC().Year()) }

// floorDiv rounds down where Go's division rounds towards zero.
func floorDiv(n, by int64) int64 {
	if n < 0 {
		return (n - by + 1) / by
	}
	return n / by
}
