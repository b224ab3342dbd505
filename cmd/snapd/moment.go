package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// moment is a point in time as a person writes it on the command line; see parseMoment.
type moment string

// Decode takes the word that follows, also one that begins like a flag: -2h.
func (m *moment) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	word, isText := token.Value.(string)
	if !isText || !token.IsValue() && !isAgo(word) {
		return fmt.Errorf("missing value, expecting %q", momentForms)
	}
	*m = moment(word)
	return nil
}

const momentForms = `"2025-10-31 13:00", 2025-10-31, 13:00, "yesterday 13:00" or -2h`

// timeLayouts are of whole times. Those without a zone are local time.
var timeLayouts = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"}

// parseMoment reads, as of now:
//
//	2025-10-31T12:00:00Z   RFC 3339
//	2025-10-31 13:00[:00]  local time
//	2025-10-31             the end of that day
//	13:00[:00]             the last time it was so late
//	today, yesterday       the end of that day; with a time of day, that
//	-90s, -10m, -2h, -3d   before now
func parseMoment(word string, now time.Time) (time.Time, bool) {
	word = strings.TrimSpace(word)
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, word, now.Location()); err == nil {
			return t, true
		}
	}
	if ago, ok := parseAgo(word); ok {
		return now.Add(-ago), true
	}
	if clock, ok := parseClock(word); ok {
		t := onDay(now, 0, clock)
		if t.After(now) {
			t = onDay(now, -1, clock)
		}
		return t, true
	}
	name, rest, timed := strings.Cut(word, " ")
	day, known := map[string]int{"today": 0, "yesterday": -1}[strings.ToLower(name)]
	if !known {
		date, err := time.ParseInLocation(time.DateOnly, word, now.Location())
		if err != nil {
			return time.Time{}, false
		}
		return endOfDay(date), true
	}
	if !timed {
		return endOfDay(onDay(now, day, time.Time{})), true
	}
	clock, ok := parseClock(strings.TrimSpace(rest))
	return onDay(now, day, clock), ok
}

func parseClock(word string) (time.Time, bool) {
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, word); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// onDay is the time of day of clock on the day that is days after now's.
func onDay(now time.Time, days int, clock time.Time) time.Time {
	y, m, d := now.Date()
	return time.Date(y, m, d+days, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
}

// endOfDay is the last second of t's day, which need not have 24 hours.
func endOfDay(t time.Time) time.Time { return onDay(t, 1, time.Time{}).Add(-time.Second) }

func isAgo(word string) bool { _, ok := parseAgo(word); return ok }

// parseAgo reads a duration that begins with a minus; d are days of 24 hours.
func parseAgo(word string) (time.Duration, bool) {
	amount, ok := strings.CutPrefix(word, "-")
	if !ok || strings.HasPrefix(amount, "-") {
		return 0, false
	}
	if number, ok := strings.CutSuffix(amount, "d"); ok {
		days, err := strconv.Atoi(number)
		return time.Duration(days) * 24 * time.Hour, err == nil && days >= 0 && days < 100_000
	}
	ago, err := time.ParseDuration(amount)
	return ago, err == nil && ago >= 0
}

// secondTime is the other instant at which local clocks showed the time that the word says: they are set back in
// autumn. A word with a zone, or a duration, says one instant.
func secondTime(word string, t time.Time) (again time.Time, ok bool) {
	word = strings.TrimSpace(word)
	if _, err := time.Parse(time.RFC3339, word); err == nil || isAgo(word) {
		return t, false
	}
	shown := func(t time.Time) string { return t.Format("2006-01-02 15:04:05") }
	for _, d := range []time.Duration{-time.Hour, time.Hour, -30 * time.Minute, 30 * time.Minute} {
		if shown(t.Add(d)) == shown(t) {
			return t.Add(d), true
		}
	}
	return t, false
}
