package catalog

import (
	"slices"
	"time"
)

const (
	// forecastSteps bounds how many coming backups Forecast looks ahead: ten years
	// of two a day; forecastYears bounds the time, for any schedule.
	forecastSteps = 7500
	forecastYears = 20
	// forecastWork bounds the rules that it applies for them.
	forecastWork = 500_000
)

// Forecast returns when each automatic backup that [Plan] keeps now will go under p,
// if from now on each backup that the schedule wants is made, verified and followed
// by carrying out the plan, and no backup is pinned, deleted or verified by hand. next gives
// the scheduled time after a time, the zero time for none. Backups that no policy
// applies to, and those whose end is not in sight within a bounded look ahead, are
// left out. It is a pure function like Plan, and carries out the same plan.
func Forecast(entries []Entry, s State, p Policy, now time.Time, next func(after time.Time) time.Time) map[string]time.Time {
	until := make(map[string]time.Time)
	if p.last() == Unlimited {
		return until
	}
	kept := newestFirst(entries)
	began, timeline := beginnings(kept, s), PresentOf(slices.Values(kept), s).Timeline
	kept, _ = carryOut(kept, began, p, now)
	// Once a coming backup is in, the newest verified one is of the future, and the
	// exempt ones, which take no other's place, decide nothing.
	kept = slices.DeleteFunc(kept, func(e Entry) bool { return exempt(&e) != "" })
	open, work, seq := len(kept), 0, uint64(0) // open: backups of now whose end is not known
	for i := range kept {
		seq = max(seq, kept[i].Seq)
	}
	at, horizon := now, now.AddDate(forecastYears, 0, 0)
	for step := 0; step < forecastSteps && open > 0 && work < forecastWork; step++ {
		tick := next(at)
		if !tick.After(at) || tick.After(horizon) {
			break
		}
		at, seq = tick, seq+1
		coming := Entry{Seq: seq, Kind: Auto, Trigger: TriggerSchedule, CreatedAt: at, Timeline: timeline, Verification: Verification{State: Verified}}
		kept = slices.Insert(kept, 0, coming)
		work += len(kept) * (1 + len(p.periods()))
		var gone []Entry
		kept, gone = carryOut(kept, began, p, at)
		for i := range gone {
			if gone[i].ID != "" { // not one that is yet to come
				until[gone[i].ID] = at.UTC()
				open--
			}
		}
	}
	return until
}

// carryOut splits entries, newest first, into those that the plan keeps and those that it removes.
// It uses the memory of entries.
func carryOut(entries []Entry, began []beginning, p Policy, now time.Time) (kept, gone []Entry) {
	g := newGroups(entries, began, p, now, false)
	kept = entries[:0]
	for i := range entries {
		e := entries[i] // decided before its place is used again
		if keep, _ := g.decide(&e); keep {
			kept = append(kept, e)
		} else {
			gone = append(gone, e)
		}
	}
	return kept, gone
}
