package schedule

import (
	"encoding/json"
	"testing"
	"time"
)

// at is a local time of one day, as cron counts.
func at(hour, minute int) time.Time {
	return time.Date(2031, 3, 5, hour, minute, 0, 0, time.Local)
}

// Lost: backups at the times that were asked for.
func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		s    Schedule
		want time.Time
	}{
		"interval":               {Every(12 * time.Hour), at(22, 15)},
		"cron":                   {New(time.Hour, "0 */6 * * *"), at(12, 0)},
		"none":                   {New(-1, ""), time.Time{}},
		"a day that never comes": {New(0, "0 0 31 2 *"), time.Time{}},
	} {
		if got := c.s.Next(at(10, 15)); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Lost: a next time that people can rely on, after hours of idleness that no file records.
func TestRoll(t *testing.T) {
	for name, c := range map[string]struct {
		s       Schedule
		t, want time.Time
	}{
		"yet to come":      {Every(time.Hour), at(11, 0), at(11, 0)},
		"just now":         {Every(time.Hour), at(10, 0), at(11, 0)},
		"one has passed":   {Every(time.Hour), at(9, 30), at(10, 30)},
		"many have passed": {Every(time.Hour), at(1, 45), at(10, 45)},
		"cron":             {New(0, "20 * * * *"), at(7, 20), at(10, 20)},
		"nothing":          {Schedule{}, at(9, 0), time.Time{}},
	} {
		if got := c.s.Roll(c.t, at(10, 0)); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Lost: the forecast, which goes on from the time that is fixed already.
func TestFrom(t *testing.T) {
	next := Every(time.Hour).From(at(10, 20))
	if got := next(at(10, 0)); !got.Equal(at(10, 20)) {
		t.Errorf("first %v", got)
	}
	if got := next(at(10, 20)); !got.Equal(at(11, 20)) {
		t.Errorf("then %v", got)
	}
	if got := Every(time.Hour).From(time.Time{})(at(10, 0)); !got.Equal(at(11, 0)) {
		t.Errorf("without a first one %v", got)
	}
}

// Lost: an alarm for a backup that did not come, or sleep, for one that is not due.
func TestOverdue(t *testing.T) {
	const slack = 10 * time.Minute
	for name, c := range map[string]struct {
		s           Schedule
		latest, now time.Time
		due         time.Time // zero for not overdue
	}{
		"in time":                   {Every(time.Hour), at(9, 30), at(10, 0), time.Time{}},
		"within the slack":          {Every(time.Hour), at(9, 0), at(10, 10), time.Time{}},
		"past the slack":            {Every(time.Hour), at(9, 0), at(10, 11), at(10, 0)},
		"cron, in time":             {New(0, "0 9 * * *"), at(9, 0), at(12, 0), time.Time{}},
		"cron, in the slack":        {New(0, "0 9 * * *"), at(8, 0), at(9, 5), time.Time{}},
		"cron, missed":              {New(0, "0 9 * * *"), at(8, 0), at(9, 11), at(9, 0)},
		"cron, the last of several": {New(0, "0 * * * *"), at(3, 0), at(9, 11), at(9, 0)},
		"no schedule":               {Schedule{}, at(0, 0), at(23, 0), time.Time{}},
	} {
		due, late := c.s.Overdue(c.latest, c.now, slack)
		if late != !c.due.IsZero() || late && !due.Equal(c.due) {
			t.Errorf("%s: %v %v, want %v", name, due, late, c.due)
		}
	}
}

// Lost: what the activity log says about the schedule of a service of long ago.
func TestWordsAreReadBack(t *testing.T) {
	for _, s := range []Schedule{{}, Every(12 * time.Hour), Every(90 * time.Second), New(0, "0 3 * * *")} {
		if got := Parse(s.String()); got != s {
			t.Errorf("%q: %+v, want %+v", s, got, s)
		}
	}
	for _, nonsense := range []string{"@every nonsense", "@every -1h", "@every "} {
		if got := Parse(nonsense); got != (Schedule{}) {
			t.Errorf("%q: %+v", nonsense, got)
		}
	}
	if next := Parse("x x x x x").Next(at(1, 0)); !next.IsZero() {
		t.Errorf("nonsense is due at %v", next)
	}
}

// Lost: programs that read the status.
func TestPublicForm(t *testing.T) {
	for want, s := range map[string]Schedule{
		`{"interval_seconds":43200,"cron":""}`:      New(12*time.Hour+time.Millisecond, ""),
		`{"interval_seconds":0,"cron":"0 3 * * *"}`: New(time.Hour, "0 3 * * *"),
	} {
		if got, err := json.Marshal(s); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}
