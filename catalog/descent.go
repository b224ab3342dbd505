package catalog

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Latest decides what "latest" means, for every command, the link, the status and the next
// backup: the newest verified backup of the present timeline that is no safety backup. entries
// come newest first.
//
//   - Where there is none, it is the backup that the timeline goes on from: the one that was restored.
//   - Else the newest of any timeline: the database is new, and there is no other.
//   - A safety backup holds a state that a restore gave up, or was about to. It counts
//     where it is the one that was restored, or where no other backup is verified.
func Latest(entries iter.Seq[Entry], s State) (latest Entry, ok bool) {
	latest, of := walk(entries, s, Entry.Usable)
	return latest, of != nothing
}

// Predecessor returns the backup that the database descends from, verified or not yet: its next
// backup is compared with it. There is none for a timeline that has just begun by a break.
func Predecessor(entries iter.Seq[Entry], s State) (e Entry, ok bool) {
	e, of := walk(entries, s, Entry.Unfailed)
	return e, of == present || of == origin
}

// Which of the backups that count walk found, the better ones first.
const (
	nothing = iota
	safety
	other
	origin
	present
)

// walk looks for the backup that the database descends from, among those that count.
func walk(entries iter.Seq[Entry], s State, counts func(Entry) bool) (found Entry, of int) {
	now := PresentOf(entries, s)
	for e := range entries {
		switch {
		case !counts(e):
		case e.ID == now.origin():
			return e, origin // those of the present timeline are newer
		case e.Trigger == TriggerPreRestore:
			if of < safety {
				found, of = e, safety
			}
		case e.Timeline.Number == now.Number:
			return e, present
		case of < other:
			found, of = e, other
		}
	}
	return found, of
}

// PresentOf is the timeline that the database is on. entries come newest first: an archive may show one
// that the state does not know.
func PresentOf(entries iter.Seq[Entry], s State) Present {
	for e := range entries {
		switch {
		case e.Adopted: // its timeline is of another directory
		case s.Timeline == nil, e.Timeline.Number > s.Timeline.Number:
			return Present{Timeline: e.Timeline}
		default:
			return *s.Timeline
		}
	}
	if s.Timeline != nil {
		return *s.Timeline
	}
	return Present{Timeline: Timeline{Number: 1}}
}

// origin is the backup that the timeline goes on from, "" for none.
func (p Present) origin() string {
	if p.Cause.Break() {
		return ""
	}
	return p.From
}

// Begin records that the database is on a new timeline, after present. from is as Present.From. What a break
// lost is lost for all that comes of it: only a restore of what was before ends that.
func (s *State) Begin(after Present, c Cause, from Entry, what string, at time.Time) {
	at = at.UTC()
	s.Timeline = &Present{Timeline: Timeline{Number: after.Number + 1, Cause: c, At: &at}, From: from.ID, What: what}
	switch {
	case c.Loss():
	case c.Break() || from.ID == "":
		s.Timeline.Loss = after.Lost()
	default:
		s.Timeline.Loss = from.Timeline.Lost()
	}
	s.Gone = nil
	// A copy: a state that was handed out is not changed.
	s.Began = append(slices.Clone(s.Began[max(0, len(s.Began)-maxBegan+1):]), s.Timeline.Timeline)
}

// NotBefore returns at, or the time of the newest of entries where the clock is behind that: what begins
// now is not older than they are.
func NotBefore(entries []Entry, at time.Time) time.Time {
	for i := range entries {
		if entries[i].CreatedAt.After(at) {
			at = entries[i].CreatedAt
		}
	}
	return at
}

// TakeBack has the database on t again, an earlier timeline: there is no backup of those since.
func (s *State) TakeBack(t Timeline) {
	s.Timeline, s.Gone = &Present{Timeline: t}, nil
	s.Began = slices.DeleteFunc(slices.Clone(s.Began), func(b Timeline) bool { return b.Number > t.Number })
}

// maxBegan bounds the timelines that are remembered without their backups.
const maxBegan = 200

// Since is when the database was last as e has it: when e was taken, or restored.
// What would be lost with the database is what changed since.
func Since(e Entry, s State) time.Time {
	if t := s.Timeline; t != nil && t.Cause == Restored && t.From == e.ID && t.Point == "" && t.Began().After(e.CreatedAt) {
		return t.Began()
	}
	return e.CreatedAt
}

// Candidates returns those of the backups, newest first, that recovery may try: those of the
// present timeline, the one that it goes on from, then the others, newest first each.
// Backups whose proof failed are out; those not yet proven (after a rebuild) are in, because
// recovery proves each itself. An image without pages restores nothing.
func Candidates(entries []Entry, s State) (usable []Entry) {
	now := PresentOf(slices.Values(entries), s)
	for _, e := range entries {
		if e.Unfailed() && e.DatabaseBytes > 0 {
			usable = append(usable, e)
		}
	}
	order := func(e Entry) int {
		switch {
		case e.Timeline.Number == now.Number:
			return 0
		case e.ID == now.origin():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(usable, func(a, b Entry) int { return cmp.Compare(order(a), order(b)) })
	return usable
}

// TakenAt is a time after which nothing is in e for sure. That is e's own date,
// unless the order of the backups, newest first, contradicts it: then a clock was wrong,
// and only the date of an earlier backup can be relied on, or none.
func TakenAt(all []Entry, e Entry, now time.Time) time.Time {
	latest := now // that e can have been taken
	for _, b := range all {
		if b.Seq > e.Seq && b.CreatedAt.Before(latest) {
			latest = b.CreatedAt
		} else if b.Seq <= e.Seq && !b.CreatedAt.After(latest) {
			return b.CreatedAt.UTC()
		}
	}
	return time.Unix(0, 0).UTC()
}
