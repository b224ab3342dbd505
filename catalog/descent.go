package catalog

import (
	"iter"
	"slices"
	"time"
)

// Latest decides what "latest" means, for every command, the link, the status and the
// next backup: the newest verified backup of the database as it is. entries come newest first.
//
//   - After a restore it is the backup that was restored, until a newer one is taken. Those
//     taken before the restore may hold what it undid.
//   - A safety backup holds a state that a restore gave up, or was about to. It counts
//     where it is the one that was restored, or where no other backup is verified.
func Latest(entries iter.Seq[Entry], s State) (latest Entry, ok bool) {
	var newest, safety Entry
	for e := range entries {
		if !e.Usable() {
			continue
		}
		switch {
		case s.restored(e):
			return e, true // no newer one has been taken
		case e.Trigger == TriggerPreRestore:
			if safety.ID == "" {
				safety = e
			}
		case s.LastRestore == nil || e.Seq > s.LastRestore.NewestSeq:
			return e, true
		case newest.ID == "":
			newest = e
		}
	}
	if newest.ID == "" {
		newest = safety
	}
	return newest, newest.ID != ""
}

// restored reports whether e is the backup that was restored last.
func (s State) restored(e Entry) bool { return s.LastRestore != nil && s.LastRestore.ID == e.ID }

// Since is when the database was last as e has it: when e was taken, or restored.
// What would be lost with the database is what changed since.
func Since(e Entry, s State) time.Time {
	if s.restored(e) && s.LastRestore.At.After(e.CreatedAt) {
		return s.LastRestore.At
	}
	return e.CreatedAt
}

// Candidates returns those of the backups, newest first, that recovery may try: those taken
// after the last restore, the one that was restored, then the others, newest first each.
// Backups whose proof failed are out; those not yet proven (after a rebuild) are in, because
// recovery proves each itself. An image without pages restores nothing.
func Candidates(entries []Entry, s State) (usable []Entry) {
	for _, e := range entries {
		if e.Verification.State != Failed && e.DatabaseBytes > 0 && e.Accepted() {
			usable = append(usable, e)
		}
	}
	if i := slices.IndexFunc(usable, s.restored); i > 0 {
		before := slices.IndexFunc(usable, func(e Entry) bool { return e.Seq <= s.LastRestore.NewestSeq })
		restored := usable[i]
		usable = slices.Insert(slices.Delete(usable, i, i+1), min(max(before, 0), i), restored)
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
