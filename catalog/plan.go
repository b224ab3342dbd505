package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Plan decides which backups stay under p, newest first, with a reason for
// each. It is a pure function: the same entries, policy and time give the same
// decisions, in whatever order the entries come.
//
// Newest means the highest Seq. The rules:
//
//   - Manual and pinned backups and those taken before a restore stay, and
//     take nobody's place.
//   - The newest verified backup stays, whatever p says.
//   - Only verified automatic backups fill quotas, so that a run of unproven or
//     failed ones evicts nothing.
//   - Last keeps the newest by Seq; no clock plays a part.
//   - A period rule keeps the newest of each period, for so many of the latest
//     periods that have a backup. Periods are ordered by their dates, so one
//     backup dated long ago by a clock that fell back takes the oldest place,
//     not a recent one. Backups dated after now are judged among themselves,
//     under quotas of their own: a clock that ran ahead takes no place from
//     real dates, and setting the clock right, in either direction, makes
//     nothing go at once.
//   - An unverified backup stays while p would keep it were it verified.
//     A failed one stays until there are as many newer verified ones as Last
//     asks for, at least one. Neither goes while no newer verified one exists.
//
// A decision to keep never depends on a backup that goes, so carrying out a
// plan and planning again removes nothing more.
func Plan(entries []Entry, p Policy, now time.Time) []Decision {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Seq, a.Seq), strings.Compare(a.ID, b.ID))
	})
	pl := planner{last: p.last(), now: now, periods: p.periods()}
	pl.count(sorted)
	out := make([]Decision, 0, len(sorted))
	for i := range sorted {
		keep, reason := pl.decide(&sorted[i])
		out = append(out, Decision{ID: sorted[i].ID, Keep: keep, Reason: reason})
	}
	return out
}

// planner walks the entries newest first.
type planner struct {
	last    int // quota of the Last rule, or Unlimited
	now     time.Time
	periods []period

	newest    string // id of the newest verified backup, "" when there is none
	seen      bool   // the walk has come to it
	automatic int    // verified automatic backups so far
}

// period is one period rule with its state.
type period struct {
	name  string
	quota int // Unlimited for all
	start func(time.Time) time.Time

	// keys holds, for dates up to now and for later ones, the beginnings of the
	// periods that have a verified automatic backup, latest first.
	keys [2][]time.Time
	// used marks the periods whose newest backup the walk has passed.
	used [2]map[time.Time]bool
}

// era tells dates in the future from the others.
func (pl *planner) era(e *Entry) int {
	if e.CreatedAt.After(pl.now) {
		return 1
	}
	return 0
}

// count fills what the walk needs to know beforehand.
func (pl *planner) count(sorted []Entry) {
	for i := range sorted {
		e := &sorted[i]
		if !e.Usable() {
			continue
		}
		if pl.newest == "" {
			pl.newest = e.ID
		}
		if exempt(e) != "" {
			continue
		}
		for j := range pl.periods {
			r := &pl.periods[j]
			r.keys[pl.era(e)] = append(r.keys[pl.era(e)], r.start(e.CreatedAt))
		}
	}
	for j := range pl.periods {
		for era := range pl.periods[j].keys {
			keys := pl.periods[j].keys[era]
			slices.SortFunc(keys, func(a, b time.Time) int { return b.Compare(a) })
			pl.periods[j].keys[era] = slices.Compact(keys)
		}
	}
}

// exempt gives the reason why no policy applies to e, "" when one does.
func exempt(e *Entry) string {
	switch {
	case e.Pinned:
		return "pinned"
	case e.Kind != Auto:
		return "manual: kept until it is deleted"
	case e.Trigger == TriggerPreRestore:
		return "taken before a restore: kept until it is deleted"
	}
	return ""
}

func (pl *planner) decide(e *Entry) (keep bool, reason string) {
	isNewest := e.Usable() && e.ID == pl.newest
	pl.seen = pl.seen || isNewest
	if why := exempt(e); why != "" {
		return true, why
	}
	switch e.Verification.State {
	case Verified:
		return pl.decideVerified(e, isNewest)
	case Failed:
		return pl.decideFailed()
	default:
		return pl.decideUnverified(e)
	}
}

func (pl *planner) decideVerified(e *Entry, isNewest bool) (bool, string) {
	var reasons []string
	if isNewest {
		reasons = append(reasons, "the newest verified backup")
	}
	pl.automatic++
	if pl.last == Unlimited {
		reasons = append(reasons, "all automatic backups are kept")
	} else if pl.automatic <= pl.last {
		reasons = append(reasons, fmt.Sprintf("automatic backup %d of the newest %d", pl.automatic, pl.last))
	}
	for i := range pl.periods {
		r := &pl.periods[i]
		rank, first := r.rank(e.CreatedAt, pl.era(e))
		if first && r.wants(rank) {
			reasons = append(reasons, r.reason(rank, pl.era(e)))
		}
		r.use(e.CreatedAt, pl.era(e))
	}
	if len(reasons) > 0 {
		return true, strings.Join(reasons, "; ")
	}
	return false, pl.outside()
}

// outside tells why a verified backup goes.
func (pl *planner) outside() string {
	why := fmt.Sprintf("older than the newest %d automatic backups", pl.last)
	switch {
	case pl.last == 1:
		why = "older than the newest automatic backup"
	case pl.last <= 0:
		why = "no automatic backups are kept by number"
	}
	if len(pl.periods) > 0 {
		why += ", and no period needs it"
	}
	return why
}

func (pl *planner) decideUnverified(e *Entry) (bool, string) {
	if !pl.seen {
		return true, "not verified, and no newer backup is"
	}
	if pl.last == Unlimited || pl.automatic < pl.last {
		return true, fmt.Sprintf("not verified: kept until enough newer ones are (%s)", progress(pl.automatic, pl.last))
	}
	for i := range pl.periods {
		r := &pl.periods[i]
		if rank, first := r.rank(e.CreatedAt, pl.era(e)); first && r.wants(rank) {
			return true, fmt.Sprintf("not verified: may be the newest of its %s", r.name)
		}
	}
	return false, "not verified, and would not be kept if it were"
}

func (pl *planner) decideFailed() (bool, string) {
	switch {
	case !pl.seen:
		return true, "failed verification, but no newer backup is verified"
	case pl.last == Unlimited || pl.automatic < pl.last:
		return true, fmt.Sprintf("failed verification: kept until enough newer ones are verified (%s)", progress(pl.automatic, pl.last))
	}
	return false, "failed verification, and newer backups are verified"
}

func progress(have, want int) string {
	if want == Unlimited {
		return "all are kept"
	}
	return fmt.Sprintf("%d of %d", have, want)
}

// rank is how many later periods of the era have a verified backup, and
// whether the walk has met none in t's period yet.
func (r *period) rank(t time.Time, era int) (rank int, first bool) {
	key := r.start(t)
	rank, _ = slices.BinarySearchFunc(r.keys[era], key, func(k, target time.Time) int { return target.Compare(k) })
	return rank, !r.used[era][key]
}

func (r *period) wants(rank int) bool { return r.quota == Unlimited || rank < r.quota }

func (r *period) use(t time.Time, era int) {
	if r.used[era] == nil {
		r.used[era] = make(map[time.Time]bool)
	}
	r.used[era][r.start(t)] = true
}

func (r *period) reason(rank, era int) string {
	of := ""
	if r.quota != Unlimited {
		of = fmt.Sprintf(" (%d of %d)", rank+1, r.quota)
	}
	if era == 1 {
		of += ", dated in the future"
	}
	return "newest of its " + r.name + of
}
