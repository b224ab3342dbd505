package schedule

import "time"

const (
	// maxWait bounds how long nothing is looked at: timers stand still while a
	// machine is suspended, and the wall clock may be set.
	maxWait = 30 * time.Second
	// appears is how often a database that is missing is looked for: an application that is
	// set up makes it within seconds, and its first hours are as dear as any.
	appears = 2 * time.Second
	// firstRetry after a failed backup; doubled up to lastRetry.
	firstRetry = time.Minute
	lastRetry  = time.Hour
	// maxDebounce bounds how long notices of changes are left unread after one.
	maxDebounce = time.Second
)

// Cause is why a backup is due.
type Cause string

const (
	None    Cause = ""
	Startup Cause = "startup"
	Tick    Cause = "schedule"
	Change  Cause = "change"
)

// Options of a [Timer].
type Options struct {
	Schedule Schedule
	// OnChange makes a backup due once no change was seen for this long; 0 is off.
	OnChange time.Duration
	// MinSpacing is the least time from one backup to one after a change.
	MinSpacing time.Duration
	// Jitter returns by how much to delay the next scheduled backup; nil for not at all.
	Jitter func() time.Duration
}

// Timer decides when the next automatic backup of a running service is due. It is a
// state machine over the times it is given; it is not safe for concurrent use.
//
//	        Due: Startup           Due: Tick, Change
//	start ───────────────▶ backup ◀──────────────────┐
//	                       │    │                    │
//	                Failed │    │ Succeeded          │
//	                       ▼    ▼                    │
//	         retry, later each  next by the schedule ┘
//	         time, up to 1 h
//
// Missing is a failure that counts for nothing: the database is looked for again
// every two seconds, and at the next change.
type Timer struct {
	o         Options
	startup   bool      // the backup at start-up is still to be made
	next      time.Time // by the schedule; zero for none
	planned   time.Time // when next was fixed
	retry     time.Time // after a failure; zero for none
	failures  int
	dirtyFrom time.Time // first change seen and not yet backed up
	dirtyAt   time.Time // and the last; zero for none
	lastAt    time.Time // last attempt, for the least spacing
}

// NewTimer returns a Timer whose first backup, the start-up backup, is due at once.
func NewTimer(o Options) *Timer { return &Timer{o: o, startup: true} }

// Reload goes on with other options; Plan then fixes the next backup by them.
func (t *Timer) Reload(o Options) {
	if t.o = o; o.OnChange <= 0 {
		t.dirtyAt = time.Time{}
	}
}

// Due returns why a backup is due at now, or None.
func (t *Timer) Due(now time.Time) Cause {
	cause := t.cause(now)
	if cause != None && t.startup {
		return Startup
	}
	return cause
}

func (t *Timer) cause(now time.Time) Cause {
	reached := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	switch {
	case !t.retry.IsZero():
		if reached(t.retry) {
			return Tick
		}
	case t.startup:
		return Startup
	case reached(t.next):
		return Tick
	case reached(t.changeDue()):
		return Change
	}
	return None
}

// changeDue is when the database will have been quiet for long enough: at the latest
// four spacings after the last backup, or the first change since, however busy it is.
func (t *Timer) changeDue() time.Time {
	if t.dirtyAt.IsZero() {
		return time.Time{}
	}
	due := t.dirtyAt.Add(t.o.OnChange)
	from := t.dirtyFrom
	if t.lastAt.After(from) {
		from = t.lastAt
	}
	if latest := from.Add(4 * max(t.o.MinSpacing, t.o.OnChange)); due.After(latest) {
		due = latest
	}
	if earliest := t.lastAt.Add(t.o.MinSpacing); due.Before(earliest) {
		due = earliest
	}
	return due
}

// Changed records that the database was written to.
func (t *Timer) Changed(now time.Time) {
	if t.o.OnChange > 0 {
		if t.dirtyAt.IsZero() {
			t.dirtyFrom = now
		}
		t.dirtyAt = now
	}
	if t.failures == 0 {
		t.retry = time.Time{} // it only waited for a database to appear
	}
}

// Debouncing reports whether notices of changes are to be left unread: for a moment
// after one, so that a busy writer does not wake the service at every commit.
func (t *Timer) Debouncing(now time.Time) bool {
	return !t.dirtyAt.IsZero() && now.Sub(t.dirtyAt) < t.debounce()
}

func (t *Timer) debounce() time.Duration { return min(maxDebounce, t.o.OnChange/2) }

// Begin marks the begin of a backup: a change that is seen from here on is not in it.
// The returned function ends it successfully.
func (t *Timer) Begin() (succeeded func(now time.Time)) {
	dirtyAt := t.dirtyAt
	return func(now time.Time) {
		t.startup, t.failures, t.retry, t.lastAt = false, 0, time.Time{}, now
		if t.dirtyAt.Equal(dirtyAt) {
			t.dirtyAt = time.Time{}
		}
	}
}

// Failed puts the backup off: for a minute, and for twice as long each further time.
func (t *Timer) Failed(now time.Time) {
	t.failures++
	t.lastAt = now
	t.retry = now.Add(retryAfter(t.failures))
}

// Now makes a backup due at once.
func (t *Timer) Now(now time.Time) { t.retry = now }

// Missing puts the backup off because there is no database. It reports whether that
// is new.
func (t *Timer) Missing(now time.Time) (first bool) {
	first = t.retry.IsZero()
	t.retry = now.Add(appears)
	return first
}

// ClockSetBack reports whether now is before the time at which the next backup was
// planned: that one would then be far off.
func (t *Timer) ClockSetBack(now time.Time) bool { return now.Before(t.planned) }

// Plan fixes the next scheduled backup, and returns its time; zero for none.
func (t *Timer) Plan(now time.Time) time.Time {
	t.next, t.planned = t.o.Schedule.Next(now), now
	if !t.next.IsZero() && t.o.Jitter != nil {
		t.next = t.next.Add(t.o.Jitter())
	}
	return t.next
}

// Wait is how long nothing can become due, and no notice be read.
func (t *Timer) Wait(now time.Time) time.Duration {
	wait := maxWait
	times := []time.Time{t.retry}
	if t.retry.IsZero() {
		times = []time.Time{t.next, t.changeDue()}
	}
	for _, at := range times {
		if !at.IsZero() {
			wait = min(wait, max(0, at.Sub(now)))
		}
	}
	if t.Debouncing(now) {
		wait = min(wait, t.debounce())
	}
	return wait
}
