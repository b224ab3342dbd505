package catalog

import (
	"slices"
	"time"
)

// Special quotas of a Policy.
const (
	Unlimited = -1 // keep all
	None      = -2 // keep none by this rule
)

// DefaultLast is how many automatic backups are kept when a Policy does not say.
const DefaultLast = 10

// Policy says how many automatic backups to keep. Each field is a quota of its
// own rule: a backup stays when any rule wants it. 0 is the default, DefaultLast
// for Last and None for the others; Unlimited and None say so explicitly.
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
	if p.Last == 0 {
		return DefaultLast
	}
	return quota(p.Last)
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
		{name: "hour", quota: quota(p.Hourly), start: startOfHour},
		{name: "day", quota: quota(p.Daily), start: startOfDay},
		{name: "week", quota: quota(p.Weekly), start: startOfWeek},
		{name: "month", quota: quota(p.Monthly), start: startOfMonth},
		{name: "year", quota: quota(p.Yearly), start: startOfYear},
	}
	return slices.DeleteFunc(all, func(r period) bool { return r.quota == 0 })
}

func startOfHour(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), 0, 0, 0, time.UTC)
}

func startOfDay(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// startOfWeek is the Monday (ISO 8601).
func startOfWeek(t time.Time) time.Time {
	day := startOfDay(t)
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
}

func startOfMonth(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func startOfYear(t time.Time) time.Time {
	return time.Date(t.UTC().Year(), 1, 1, 0, 0, 0, 0, time.UTC)
}
