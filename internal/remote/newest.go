package remote

import (
	"cmp"
	"slices"
	"time"

	"example.com/snapd/catalog"
)

// Newest is the newest usable backup among copies, and the newest moment that can be restored from them: a segment counts as far as captures
// without a hole lead to it from a backup.
func Newest(copies []Copy) (backup *catalog.Entry, at time.Time) {
	heads := map[uint64]string{}
	segments := map[uint64][]Name{}
	for _, c := range copies {
		n, ok := Parse(c.Name)
		switch {
		case !ok || c.Damaged != "":
		case n.Kind == Segment:
			segments[n.Timeline] = append(segments[n.Timeline], n)
			if c.Base != "" {
				heads[n.Timeline] = c.Base
			}
		case n.Kind == Backup && c.Entry != nil:
			if backup == nil || c.Entry.Seq > backup.Seq {
				backup = c.Entry
			}
			if c.Entry.CreatedAt.After(at) {
				at = c.Entry.CreatedAt
			}
		}
	}
	for t, list := range segments {
		slices.SortFunc(list, func(a, b Name) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last)) })
		if reached := lead(list, basesOf(copies, t, heads[t])); reached.After(at) {
			at = reached
		}
	}
	return backup, at
}

// basesOf are the captures of a timeline whose images whole backups have; head is the id of the backup that its log begins with.
func basesOf(copies []Copy, timeline uint64, head string) (list []uint64) {
	for _, c := range copies {
		if c.Entry == nil || c.Damaged != "" {
			continue
		}
		if of, seq, ok := catalog.ParsePoint(c.Entry.Point); ok && of == timeline {
			list = append(list, seq)
		} else if c.Entry.ID == head {
			list = append(list, 0)
		}
	}
	return list
}

// lead is the time of the last capture to which segments, in order, lead from any of the bases; zero for none.
func lead(segments []Name, bases []uint64) (at time.Time) {
	next := uint64(0) // the capture that goes on from those before; 0 for none
	for _, n := range segments {
		follows := next > 0 && n.First <= next
		for _, b := range bases {
			follows = follows || n.First <= b+1 && b < n.Last
		}
		if !follows {
			continue
		}
		if next = max(next, n.Last+1); n.At.After(at) {
			at = n.At
		}
	}
	return at
}
