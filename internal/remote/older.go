package remote

import (
	"errors"
	"fmt"
	"slices"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/store"
)

// ErrOlder: the backup directory is older than what was sent from it: its catalog was lost, or all of it was put back as it was once. It would
// give numbers a second time: what is there would hide what is made now.
var ErrOlder = errors.New("the backup directory is older than what was sent from it")

// older says what at the remote has a number that is still to be given here; "" for nothing. copies are what was known of it.
func (l Local) older(there map[Name]store.Object, copies []Copy) string {
	present := catalog.PresentOf(slices.Values(l.Backups), l.State).Number
	last := l.lastCapture(present)
	var backup, timeline, capture uint64
	for n := range there {
		switch n.Kind {
		case Backup:
			backup = max(backup, n.Number)
		case Segment:
			timeline = max(timeline, n.Timeline)
			if n.Timeline == present {
				capture = max(capture, n.Last)
			}
		}
	}
	for _, c := range copies {
		if c.Entry != nil {
			timeline = max(timeline, c.Entry.Timeline.Number)
		}
	}
	switch {
	case backup >= l.Next:
		return fmt.Sprintf("backup number %d is there, and the next one here would have number %d", backup, l.Next)
	case timeline > present:
		return fmt.Sprintf("timeline %d is there, and the database is on timeline %d here", timeline, present)
	case last > 0 && capture > last:
		return fmt.Sprintf("capture %d of timeline %d is there, and the last one here is %d", capture, present, last)
	}
	return ""
}

// lastCapture is the last capture of a timeline whose segment is here, or whose image a backup has; 0 where no segment is here: then a
// log that had captures begins a new timeline.
func (l Local) lastCapture(timeline uint64) (last uint64) {
	for _, s := range l.Segments {
		if s.Name.Timeline == timeline {
			last = max(last, s.Name.Last)
		}
	}
	if last == 0 {
		return 0
	}
	for _, e := range l.Backups {
		if of, seq, ok := catalog.ParsePoint(e.Point); ok && of == timeline && !e.Adopted {
			last = max(last, seq)
		}
	}
	return last
}
