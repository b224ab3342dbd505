package schedule

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// world drives a Timer through time that passes as Wait says.
type world struct {
	t     *Timer
	now   time.Time
	began time.Time
	log   []string
}

func newWorld(o Options) *world {
	began := at(0, 0)
	return &world{t: NewTimer(o), now: began, began: began}
}

// until lets time pass. changes says at which moments the database is written to, fails
// whether the backup of a moment fails.
func (w *world) until(end time.Duration, changes []time.Duration, fails func(time.Duration) bool) {
	for rounds := 0; w.now.Sub(w.began) <= end; rounds++ {
		if rounds > 100_000 {
			panic("time does not pass")
		}
		past := w.now.Sub(w.began)
		if cause := w.t.Due(w.now); cause != None {
			w.log = append(w.log, fmt.Sprintf("%s %s", short(past.Truncate(time.Second)), cause))
			succeeded := w.t.Begin()
			if fails != nil && fails(past) {
				w.t.Failed(w.now)
			} else {
				succeeded(w.now)
				w.t.Plan(w.now)
			}
			continue
		}
		wait := max(w.t.Wait(w.now), time.Millisecond)
		if i := slices.IndexFunc(changes, func(c time.Duration) bool { return c > past && c <= past+wait }); i >= 0 && !w.t.Debouncing(w.now) {
			w.now = w.began.Add(changes[i])
			w.t.Changed(w.now)
			continue
		}
		w.now = w.now.Add(wait)
	}
}

func (w *world) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.log, want) {
		t.Errorf("%q, want %q", w.log, want)
	}
}

func every(step, end time.Duration) (all []time.Duration) {
	for at := step; at <= end; at += step {
		all = append(all, at)
	}
	return all
}

// Lost: automatic backups.
func TestTimerFollowsTheSchedule(t *testing.T) {
	w := newWorld(Options{Schedule: Every(6 * time.Hour)})
	w.until(13*time.Hour, every(time.Minute, 13*time.Hour), nil) // changes are none of its business
	w.expect(t, "0s startup", "6h schedule", "12h schedule")
}

// Lost: what was changed after the last backup; or a disk, to one backup per commit.
func TestTimerAfterChanges(t *testing.T) {
	o := Options{OnChange: 10 * time.Second, MinSpacing: time.Minute}
	w := newWorld(o)
	w.until(10*time.Minute, []time.Duration{2 * time.Minute, 125 * time.Second, 8 * time.Minute}, nil)
	w.expect(t, "0s startup", "2m15s change", "8m10s change")

	w = newWorld(o) // the least spacing holds
	w.until(2*time.Minute, []time.Duration{5 * time.Second}, nil)
	w.expect(t, "0s startup", "1m change")

	w = newWorld(o) // a database that never rests is backed up all the same
	w.until(10*time.Minute, every(3*time.Second, 10*time.Minute), nil)
	w.expect(t, "0s startup", "4m3s change", "8m6s change")
}

// Lost: a service that tries all the time, or never again.
func TestTimerTriesAgain(t *testing.T) {
	w := newWorld(Options{Schedule: Every(12 * time.Hour)})
	w.until(4*time.Hour, nil, func(past time.Duration) bool { return past < 3*time.Hour })
	w.expect(t, "0s startup", "1m startup", "3m startup", "7m startup", "15m startup", "31m startup", "1h3m startup", "2h3m startup", "3h3m startup")
}

// Lost: the first backup of a database that appears only later.
func TestTimerWaitsForADatabase(t *testing.T) {
	timer, now := NewTimer(Options{OnChange: time.Minute, MinSpacing: time.Minute}), at(1, 0)
	if !timer.Missing(now) || timer.Missing(now) {
		t.Error("not the first time, or twice")
	}
	if cause := timer.Due(now.Add(time.Second)); cause != None {
		t.Errorf("due at once: %q", cause)
	}
	if cause := timer.Due(now.Add(2 * time.Second)); cause != Startup {
		t.Errorf("two seconds later: %q", cause)
	}
	timer.Changed(now)
	if cause := timer.Due(now); cause != Startup {
		t.Errorf("when it appears: %q", cause)
	}
}

// Lost: a processor, to a writer that commits all the time; or the last of its commits.
func TestTimerDebounces(t *testing.T) {
	timer, now := NewTimer(Options{OnChange: time.Minute}), at(1, 0)
	timer.Begin()(now)
	if timer.Debouncing(now) {
		t.Error("before any change")
	}
	timer.Changed(now)
	if !timer.Debouncing(now.Add(999*time.Millisecond)) || timer.Debouncing(now.Add(time.Second)) {
		t.Error("not for a second")
	}
	if wait := timer.Wait(now); wait != time.Second {
		t.Errorf("notices are read again after %v", wait)
	}
	short := NewTimer(Options{OnChange: 100 * time.Millisecond})
	short.Changed(now)
	if wait := short.Wait(now); wait > 50*time.Millisecond {
		t.Errorf("with a short time: %v", wait)
	}
}

// Lost: a change that came while the backup before it was made.
func TestTimerKeepsAChangeDuringABackup(t *testing.T) {
	timer, now := NewTimer(Options{OnChange: time.Minute}), at(1, 0)
	succeeded := timer.Begin()
	timer.Changed(now)
	succeeded(now)
	if cause := timer.Due(now.Add(time.Minute)); cause != Change {
		t.Errorf("due for %q", cause)
	}
}

// Lost: a year of backups, to a clock that ran ahead and was set right.
func TestTimerNoticesAClockSetBack(t *testing.T) {
	timer, now := NewTimer(Options{Schedule: Every(time.Hour), Jitter: func() time.Duration { return time.Minute }}), at(12, 0)
	if next := timer.Plan(now); !next.Equal(at(13, 1)) {
		t.Errorf("with its delay: %v", next)
	}
	if timer.ClockSetBack(now) || !timer.ClockSetBack(now.AddDate(-1, 0, 0)) {
		t.Error("not noticed, or without need")
	}
}
