package remote

import (
	"cmp"
	"maps"
	"slices"

	"example.com/snapd/catalog"
)

const (
	keepCatalogs = 2
	keepWriters  = 3
)

// removals are what the remote's policy does not keep, by what is there alone.
func (w *world) removals() (list []Removal) {
	keep := map[string]catalog.Decision{}
	for _, d := range catalog.Plan(w.there, w.State, w.Keep, w.Now) {
		keep[d.ID] = d
	}
	kept := w.there[:0:0]
	for _, e := range w.there {
		switch d := keep[e.ID]; {
		case !d.Keep:
			list = append(list, Removal{Name: w.names[e.ID], Why: d.Reason})
		case w.damaged[e.ID] && slices.ContainsFunc(w.sendable(), func(h catalog.Entry) bool { return h.ID == e.ID }):
			list = append(list, Removal{Name: w.names[e.ID], Why: "it is damaged there and whole here: it is sent again", Again: &e})
		default:
			kept = append(kept, e)
		}
	}
	w.there = kept
	for _, t := range slices.Sorted(maps.Keys(w.segs)) {
		bases, stay := w.bases(t), w.stay(t)
		for i, s := range w.segs[t] {
			if why, again := w.unneeded(i, s, bases, stay); why != "" {
				list = append(list, Removal{Name: s.Copy.Name, Why: why, Segment: again})
			}
		}
	}
	return append(list, w.superseded()...)
}

// unneeded says why a segment, the i-th of its timeline, goes; "" for not. bases are those left there that are whole, and stay are all of them.
// again is sent in its place.
func (w *world) unneeded(i int, s remoteSegment, bases, stay []uint64) (why string, again *LocalSegment) {
	t := s.Timeline
	if i > 0 && w.segs[t][i-1].reach >= s.Last { // the others that begin there or before come before it
		return "another segment has its captures", nil
	}
	if s.Damaged != "" {
		if here := w.here(s); here != nil {
			return "it is damaged there and whole here: it is sent again", here
		}
	}
	if w.unknown > 0 {
		return "", nil // one of those may be what it follows
	}
	switch {
	case len(stay) == 0 && (w.heads[t] == "" || w.comes(t)):
		return "", nil // not known, or it may be sent
	case len(stay) == 0:
		return "the backup that it follows is gone", nil
	case stay[0] >= s.Last:
		return "the backups before it are gone", nil
	case len(bases) > 0 && bases[len(bases)-1] >= s.Last && w.Points > 0 && w.Now.Sub(s.Name.At) > w.Points:
		return "recovery points are not kept as long", nil
	}
	return "", nil
}

// comes reports whether a backup that segments of a timeline follow is here, and may be sent.
func (w *world) comes(timeline uint64) bool {
	return slices.ContainsFunc(w.sendable(), func(e catalog.Entry) bool { _, ok := w.base(e, timeline); return ok })
}

// superseded are the oldest catalogs, and the writers' notes from long before the present one's.
func (w *world) superseded() (list []Removal) {
	slices.SortFunc(w.numbers, func(a, b Name) int { return cmp.Compare(b.Number, a.Number) })
	catalogs := 0
	for _, n := range w.numbers {
		if n.Kind == Catalog {
			catalogs++
		}
		if n.Kind == Catalog && catalogs > keepCatalogs || n.Kind == Writer && n.Number+keepWriters < w.Claim {
			list = append(list, Removal{Name: n.String(), Why: "newer ones are there"})
		}
	}
	return list
}
