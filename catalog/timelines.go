package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// DefaultReplaced is how long Plan keeps the backups of the timeline before a break or a restore
// apart from those of the next.
const DefaultReplaced = 30 * 24 * time.Hour

// maxApart bounds how many beginnings of timelines keep backups: the first and the last of
// them. A database that is emptied every minute fills no disk.
const maxApart = 10

// beginning is where one timeline ends and the next begins.
type beginning struct {
	Timeline
	accepted bool
	until    time.Time // the backups before it are counted by themselves
}

// beginnings returns those of the timelines that have backups or are remembered, in order.
func beginnings(entries []Entry, s State) (all []beginning) {
	known := make(map[uint64]bool)
	add := func(t Timeline) {
		if t.Cause != "" && !known[t.Number] {
			known[t.Number] = true
			all = append(all, beginning{t, t.Number <= s.Accepted, t.Began().Add(s.KeepsReplaced())})
		}
	}
	for _, t := range s.Began {
		add(t)
	}
	last := uint64(0)
	for i := range entries {
		if t := entries[i].Timeline; t.Number != last {
			last = t.Number
			add(t)
		}
	}
	slices.SortFunc(all, func(a, b beginning) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// Unaccepted is the timeline whose break was not accepted, with what is known of it: the present one, or an earlier one whose
// loss what came since has not made good. entries come newest first.
func Unaccepted(entries []Entry, s State) (p Present, ok bool) {
	p = PresentOf(slices.Values(entries), s)
	lost := p.Lost()
	switch {
	case lost > s.Accepted && lost != p.Number:
		p = Present{Timeline: Timeline{Number: lost, Cause: Shrunk, At: p.At}, What: "it is without data that the backups from before have"}
		for _, b := range beginnings(entries, s) {
			if b.Number == lost {
				p = Present{Timeline: b.Timeline}
			}
		}
	case !p.Cause.Break(), p.Number <= s.Accepted:
		return p, false
	}
	if p.From == "" && lost > 0 {
		if i := slices.IndexFunc(entries, func(e Entry) bool { return e.Usable() && e.Timeline.Number < lost }); i >= 0 {
			p.From = entries[i].ID
		}
	}
	if p.What == "" {
		p.What = "it was " + p.Cause.Verb()
	}
	return p, true
}

// KeepsReplaced is how long the backups before a break or a restore are counted by themselves.
func (s State) KeepsReplaced() time.Duration {
	if s.Replaced == 0 {
		return DefaultReplaced
	}
	return max(0, time.Duration(s.Replaced)*time.Second)
}

// apart reports whether the backups before b are counted by themselves at now.
func (b beginning) apart(now time.Time) bool {
	return now.Before(b.until) && (!b.accepted || !b.Cause.Break())
}

// lost reports whether b stands for data that is nowhere else, which no person has accepted.
func (b beginning) lost() bool { return b.Cause.Loss() && !b.accepted }

// ends returns at most maxApart of the beginnings for which yes holds.
func ends(all []beginning, yes func(beginning) bool) []beginning {
	some := make([]beginning, 0, len(all))
	for _, b := range all {
		if yes(b) {
			some = append(some, b)
		}
	}
	if n := len(some); n > maxApart {
		some = append(some[:maxApart/2], some[n-maxApart/2:]...)
	}
	return some
}

// groups are backups that are counted together: those between two beginnings.
type groups struct {
	apart []beginning
	of    []*planner // one more than apart
	stays map[string]string
}

// newGroups prepares a walk over sorted, newest first, whose timelines began as all says.
func newGroups(sorted []Entry, all []beginning, p Policy, now time.Time, explain bool) *groups {
	g := &groups{apart: ends(all, func(b beginning) bool { return b.apart(now) }), stays: make(map[string]string)}
	if len(g.apart) == 0 {
		g.of = []*planner{newPlanner(sorted, p, now)}
	} else {
		split := make([][]Entry, len(g.apart)+1)
		for i := range sorted {
			n := g.number(&sorted[i])
			split[n] = append(split[n], sorted[i])
		}
		for _, part := range split {
			g.of = append(g.of, newPlanner(part, p, now))
		}
	}
	for _, pl := range g.of {
		pl.explain = explain
	}
	for _, b := range ends(all, beginning.lost) {
		i := slices.IndexFunc(sorted, func(e Entry) bool { return e.Usable() && e.Timeline.Number < b.Number })
		if i >= 0 && !now.Before(b.until) {
			g.stays[sorted[i].ID] = "the newest from before the database was " + b.Cause.Verb() + "; accept lets it go"
		}
	}
	return g
}

// number is the group of e.
func (g *groups) number(e *Entry) int {
	n, _ := slices.BinarySearchFunc(g.apart, e.Timeline.Number, func(b beginning, number uint64) int { return cmp.Compare(b.Number, number+1) })
	return n
}

func (g *groups) decide(e *Entry) (keep bool, reason string) {
	n := g.number(e)
	keep, reason = g.of[n].decide(e)
	if why := g.stays[e.ID]; !keep && why != "" {
		return true, why
	}
	if n < len(g.apart) && keep && g.of[n].explain && exempt(e) == "" {
		next := g.apart[n]
		reason += fmt.Sprintf(" from before the database was %s; counted by themselves until %s", next.Cause.Verb(), next.until.UTC().Format(time.DateOnly))
		if next.Cause.Break() {
			reason += ", or until that is accepted"
		}
	}
	return keep, reason
}
