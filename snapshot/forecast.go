package snapshot

import (
	"fmt"
	"time"

	"example.com/snapd/catalog"
)

// foresee fills in when each backup that is kept will go, by the schedule of the
// Run that is at work, or was killed, else by the configured one.
func (m *Manager) foresee(decisions []Decision, entries []Backup, p Policy, now time.Time) error {
	state, err := m.cat.State()
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	promised, first := m.cfg.promised(state), time.Time{}
	if state.Schedule != nil && state.NextRun != nil {
		first = promised.Roll(*state.NextRun, now)
	}
	until := catalog.Forecast(entries, p, now, promised.From(first))
	for i := range decisions {
		if at, ok := until[decisions[i].ID]; ok && decisions[i].Keep {
			decisions[i].Until = &at
		}
	}
	return nil
}
