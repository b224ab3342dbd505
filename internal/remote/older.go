package remote

import (
	"errors"
	"fmt"
	"slices"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/message"
)

// ErrOlder: the backup directory is older than what was sent from it: its catalog was lost, or all of it was put back as it was once. It would
// give numbers a second time: what is there would hide what is made now.
var ErrOlder = errors.New("the backup directory is older than what was sent from it")

func errOlder(remote, why string) error {
	return message.WithHint(fmt.Errorf("%w: at remote %s %s", ErrOlder, remote, why),
		"its catalog was lost, or it was put back as it was once: stop serve and run snapd remote adopt "+remote+", which goes on after what is there")
}

// older says what at the remote has a number that is still to be given here, or was given here a second time; "" for nothing. copies are what is
// known of it, from the first timeline that is this directory's.
func (l Local) older(there []Name, copies []Copy, from uint64) string {
	present := catalog.PresentOf(slices.Values(l.Backups), l.State).Number
	last := l.lastCapture(present)
	var backup, timeline, capture uint64
	for _, n := range there {
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
	return l.another(there, copies, from)
}

// another says which backup there has the number of another one here; "" for none. A number alone says nothing: those of backups go up where an
// archive is put among them. So the one there is not here, and the one here was never sent, and is no copy or former name of another.
func (l Local) another(there []Name, copies []Copy, from uint64) string {
	numbers, ids, images := map[uint64]catalog.Entry{}, map[string]bool{}, map[made]int{}
	for _, e := range l.Backups {
		ids[e.ID] = true
		images[madeOf(e)]++
		if !e.Adopted && e.Timeline.Number >= from {
			numbers[e.Seq] = e
		}
	}
	sent := map[string]bool{}
	for _, n := range there {
		sent[n.ID] = true
	}
	for _, c := range copies {
		if c.Entry != nil {
			images[madeOf(*c.Entry)]++
		}
	}
	for _, n := range there {
		e, ok := numbers[n.Number]
		if n.Kind == Backup && ok && !ids[n.ID] && !sent[e.ID] && images[madeOf(e)] == 1 {
			return fmt.Sprintf("backup number %d is %s there, and %s here", n.Number, n.ID, e.ID)
		}
	}
	return ""
}

// made is what a backup keeps when its name or number changes.
type made struct {
	at    int64
	image string
}

func madeOf(e catalog.Entry) made { return made{e.CreatedAt.UnixNano(), e.ImageBLAKE3} }

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
