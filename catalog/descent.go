package catalog

import (
	"iter"
	"slices"
	"time"
)

// Head returns the verified backup that the live database descends from: the one restored
// last, until a newer backup is taken, else the newest. Right after a restore the newest
// is the safety backup of the state that was given up. entries come newest first.
func Head(entries iter.Seq[Entry], s State) (head Entry, ok bool) {
	restored := "" // since it was restored there is no other backup
	first := true
	for e := range entries {
		if first && s.LastRestore != nil && e.ID == s.LastRestore.Newest {
			restored = s.LastRestore.ID
		}
		first = false
		if e.Usable() && (!ok || e.ID == restored) {
			head, ok = e, true
		}
		if ok && (restored == "" || head.ID == restored) {
			break
		}
	}
	return head, ok
}

// Candidates returns those of the backups, newest first, that recovery may try: newest
// first; before them the one restored last, where nothing was backed up since. Backups
// whose proof failed are out; those not yet proven (after a rebuild) are in, because
// recovery proves each itself. An image without pages restores nothing.
func Candidates(entries []Entry, s State) (usable []Entry) {
	for _, e := range entries {
		if e.Verification.State != Failed && e.DatabaseBytes > 0 && e.Accepted() {
			usable = append(usable, e)
		}
	}
	if r := s.LastRestore; r != nil && len(entries) > 0 && entries[0].ID == r.Newest {
		if i := slices.IndexFunc(usable, func(e Entry) bool { return e.ID == r.ID }); i > 0 {
			restored := usable[i]
			usable = slices.Insert(slices.Delete(usable, i, i+1), 0, restored)
		}
	}
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
