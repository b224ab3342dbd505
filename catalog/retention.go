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
// decisions, in any order of the entries.
//
// Newest means the highest Seq. The rules:
//
//   - Manual and pinned backups and those taken before a restore stay, and
//     take no other's place.
//
//   - The newest verified backup stays under every policy.
//
//   - Only verified automatic backups fill quotas, so that a run of unproven or
//     failed ones evicts nothing.
//
//   - Last keeps the newest by Seq; no clock plays a part.
//
//   - A period rule keeps the newest of each period, for so many of the latest
//     periods that have a backup. Periods are ordered by their dates, so one
//     backup dated long ago by a clock that fell back takes the oldest place,
//     not a recent one. Backups dated after now are judged among themselves,
//     under quotas of their own: a clock that ran ahead takes no place from
//     real dates, and setting the clock right, in either direction, makes
//     nothing go at once.
//
//   - An unverified backup stays while p would keep it were it verified.
//     A failed one stays until there are as many newer verified ones as Last
//     asks for, at least one. Neither goes while no newer verified one exists.
//
//   - The backups before a break or a restore are counted by themselves until the break is
//     accepted, or State.Replaced has passed. After that the newest verified one from before
//     a break that lost data stays until that is accepted.
//
//   - Latest stays: after a restore it may be an old one.
//
//   - The backup that the newest recovery points build on stays.
//
// A decision to keep never depends on a backup that goes, so carrying out a
// plan and planning again removes nothing more.
func Plan(entries []Entry, s State, p Policy, now time.Time) []Decision {
	sorted := newestFirst(entries)
	g := newGroups(sorted, beginnings(sorted, s), p, now, true)
	latest, _ := Latest(slices.Values(sorted), s)
	out := make([]Decision, 0, len(sorted))
	for i := range sorted {
		keep, reason := g.decide(&sorted[i])
		if !keep && sorted[i].ID == latest.ID {
			keep, reason = true, "restored, and no newer backup has been made"
		}
		if !keep && sorted[i].ID == s.PointsBase {
			keep, reason = true, "the newest recovery points build on it"
		}
		out = append(out, Decision{ID: sorted[i].ID, Keep: keep, Reason: reason})
	}
	return out
}

// newestFirst returns a sorted copy.
func newestFirst(entries []Entry) []Entry {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Seq, a.Seq), strings.Compare(a.ID, b.ID))
	})
	return sorted
}

// planner walks the entries newest first.
type planner struct {
	last    int // quota of the Last rule, or Unlimited
	now     time.Time
	periods []period
	explain bool // reasons are wanted; otherwise they are empty

	seen      bool // the walk has come to the newest verified backup
	automatic int  // verified automatic backups so far
}

// newPlanner prepares a walk over sorted.
func newPlanner(sorted []Entry, p Policy, now time.Time) *planner {
	pl := &planner{last: p.last(), now: now, periods: p.periods()}
	pl.count(sorted)
	return pl
}

// because returns a reason, for those who ask for one.
func (pl *planner) because(format string, args ...any) string {
	if !pl.explain {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// period is one period rule with its state.
type period struct {
	name   string
	quota  int                   // Unlimited for all
	number func(time.Time) int64 // of the period that a time is in; later periods have higher ones

	// numbers holds, for dates up to now and for later ones, the periods that have
	// a verified automatic backup, latest first.
	numbers [2][]int64
	// used marks those whose newest backup the walk has passed.
	used [2][]bool
}

// era distinguishes dates in the future from the others.
func (pl *planner) era(e *Entry) int {
	if e.CreatedAt.After(pl.now) {
		return 1
	}
	return 0
}

// count collects the periods that have a backup.
func (pl *planner) count(sorted []Entry) {
	for i := range sorted {
		e := &sorted[i]
		if !e.Usable() || exempt(e) != "" {
			continue
		}
		for j := range pl.periods {
			r := &pl.periods[j]
			r.numbers[pl.era(e)] = append(r.numbers[pl.era(e)], r.number(e.CreatedAt))
		}
	}
	for j := range pl.periods {
		r := &pl.periods[j]
		for era := range r.numbers {
			slices.SortFunc(r.numbers[era], func(a, b int64) int { return cmp.Compare(b, a) })
			r.numbers[era] = slices.Compact(r.numbers[era])
			r.used[era] = make([]bool, len(r.numbers[era]))
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
	isNewest := e.Usable() && !pl.seen
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
		reasons = append(reasons, pl.because("automatic backup %d of the newest %d", pl.automatic, pl.last))
	}
	for i := range pl.periods {
		r := &pl.periods[i]
		era := pl.era(e)
		rank, first := r.place(e.CreatedAt, era)
		if first && r.wants(rank) {
			reasons = append(reasons, pl.because("newest of its %s", r.label(rank, era)))
		}
		r.used[era][rank] = true
	}
	if len(reasons) > 0 {
		return true, strings.Join(reasons, "; ")
	}
	return false, pl.because("%s", pl.outside())
}

// outside returns the reason why a verified backup goes.
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
		return true, pl.because("not verified: kept until enough newer ones are (%s)", progress(pl.automatic, pl.last))
	}
	for i := range pl.periods {
		r := &pl.periods[i]
		if rank, first := r.place(e.CreatedAt, pl.era(e)); first && r.wants(rank) {
			return true, pl.because("not verified: may be the newest of its %s", r.name)
		}
	}
	return false, "not verified, and would not be kept if it were"
}

func (pl *planner) decideFailed() (bool, string) {
	switch {
	case !pl.seen:
		return true, "failed verification, but no newer backup is verified"
	case pl.last == Unlimited || pl.automatic < pl.last:
		return true, pl.because("failed verification: kept until enough newer ones are verified (%s)", progress(pl.automatic, pl.last))
	}
	return false, "failed verification, and newer backups are verified"
}

func progress(have, want int) string {
	if want == Unlimited {
		return "all are kept"
	}
	return fmt.Sprintf("%d of %d", have, want)
}

// place returns how many periods of the era that are later than t's have a verified
// backup, and whether the walk has met none in t's period yet.
func (r *period) place(t time.Time, era int) (rank int, first bool) {
	rank, found := slices.BinarySearchFunc(r.numbers[era], r.number(t), func(n, target int64) int { return cmp.Compare(target, n) })
	return rank, !found || !r.used[era][rank]
}

func (r *period) wants(rank int) bool { return r.quota == Unlimited || rank < r.quota }

// label names the period, and its place under the quota.
func (r *period) label(rank, era int) string {
	label := r.name
	if r.quota != Unlimited {
		label += fmt.Sprintf(" (%d of %d)", rank+1, r.quota)
	}
	if era == 1 {
		label += ", dated in the future"
	}
	return label
}

// Needed says why these of all backups may not be deleted, and what can be done: one is
// pinned, or no verified one would be left. why is "" where they may.
func Needed(going, all []Entry) (why, advice string) {
	verified, left := 0, 0
	for _, e := range all {
		if !e.Usable() {
			continue
		}
		verified++
		if !slices.ContainsFunc(going, func(g Entry) bool { return g.ID == e.ID }) {
			left++
		}
	}
	for _, e := range going {
		if e.Pinned {
			return e.ID + " is pinned", "unpin it first, or use --force"
		}
	}
	if verified > 0 && left == 0 {
		return "no verified backup would be left", "make a new backup first, or use --force"
	}
	return "", ""
}
