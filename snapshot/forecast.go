package snapshot

import (
	"fmt"
	"time"

	"github.com/adhocore/gronx"

	"example.com/snapd/catalog"
)

// foresee fills in when each backup that is kept will go, by the schedule of the
// serve that runs, or died, else by the configured one.
func (m *Manager) foresee(decisions []Decision, entries []Backup, p Policy, now time.Time) error {
	state, err := m.cat.State()
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	schedule := catalog.Schedule{Interval: m.cfg.Interval, Cron: m.cfg.Cron}
	first := time.Time{}
	if state.Schedule != nil {
		schedule = *state.Schedule
		if state.NextRun != nil {
			first = *state.NextRun
		}
		if late := now.Sub(first); late >= 0 && !first.IsZero() && schedule.Interval > 0 {
			first = first.Add((late/schedule.Interval + 1) * schedule.Interval)
		}
	}
	until := catalog.Forecast(entries, p, now, pace(schedule, first))
	for i := range decisions {
		if at, ok := until[decisions[i].ID]; ok && decisions[i].Keep {
			decisions[i].Until = &at
		}
	}
	return nil
}

// pace returns the function that gives the schedule's next time after another one,
// the zero time for none. first, unless it is zero, is a time that is fixed already.
func pace(s catalog.Schedule, first time.Time) func(time.Time) time.Time {
	return func(after time.Time) time.Time {
		switch {
		case first.After(after):
			return first
		case s.Cron != "":
			next, err := gronx.NextTickAfter(s.Cron, after.Local(), false)
			if err != nil {
				return time.Time{}
			}
			return next.UTC()
		case s.Interval > 0:
			return after.Add(s.Interval)
		}
		return time.Time{}
	}
}
