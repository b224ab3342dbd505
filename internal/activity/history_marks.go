package activity

import (
	"slices"
	"time"
)

// mark is a moment that counts; from is another one but for unchanged.
type mark struct {
	kind     markKind
	from, at time.Time
	backup   string
	database int64 // bytes
	archive  int64 // bytes
	detail   string
	schedule string
}

type markKind int

const (
	wasMade markKind = iota
	wasUnchanged
	hasFailed
	hasStarted
	hasStopped
)

// good reports whether the mark is of a time at which a backup covered the database.
func (k mark) good() bool { return k.kind == wasMade || k.kind == wasUnchanged }

// enter takes an entry of the activity log.
func (p *past) enter(a Entry) {
	if p.known.IsZero() || a.At.Before(p.known) {
		p.known = a.At
	}
	k := mark{from: a.At, at: a.At, backup: a.Backup, database: max(0, a.DatabaseBytes), archive: max(0, a.ArchiveBytes), detail: a.Detail, schedule: a.Schedule}
	switch a.Action + " " + a.Outcome {
	case "backup done":
		k.kind = wasMade
		k.at = a.At.Add(-time.Duration(min(max(0, a.DurationMS), time.Hour.Milliseconds()*24)) * time.Millisecond)
		k.from = k.at
	case "backup unchanged":
		k.kind = wasUnchanged
		if a.Since != nil && a.Since.Before(a.At) {
			k.from = *a.Since
		}
	case "backup failed":
		if a.Code == "busy" {
			return // another operation was at work: that is no failure of the protection
		}
		k.kind = hasFailed
	case "serve started", "serve reloaded":
		k.kind = hasStarted
	case "serve stopped":
		k.kind = hasStopped
	default:
		return
	}
	p.marks = append(p.marks, k)
}

// hold takes a backup that there is. What the log says of the same one is less.
func (p *past) hold(b Stored) {
	k := mark{kind: wasMade, from: b.CreatedAt, at: b.CreatedAt, backup: b.ID, database: b.DatabaseBytes, archive: b.ArchiveBytes}
	if i := slices.IndexFunc(p.marks, func(o mark) bool { return o.kind == wasMade && o.backup == b.ID }); i >= 0 {
		p.marks[i] = k
		return
	}
	p.marks = append(p.marks, k)
}

// bridge stretches an unchanged mark back to the backup, or to the mark of the same
// backup, that it confirms, where a Run was not stopped between the two: one that was
// killed could not write down that it had been idle.
func (p *past) bridge() {
	running, since := false, mark{}
	for i := range p.marks {
		k := &p.marks[i]
		switch k.kind {
		case hasStarted:
			if !running { // what was before is not known to have been watched
				since = mark{}
			}
			running = true
		case hasStopped:
			running = false
		case wasUnchanged:
			if running && since.backup == k.backup && since.at.Before(k.from) {
				k.from = since.at
			}
			since = *k
		case wasMade:
			since = *k
		}
	}
}
