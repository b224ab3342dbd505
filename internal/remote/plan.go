package remote

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"example.com/snapd/catalog"
)

// Local is what this machine has.
type Local struct {
	Backups  []catalog.Entry // newest first
	State    catalog.State
	Segments []LocalSegment // sealed ones of every timeline
	Next     uint64         // number of the next backup
}

// LocalSegment is a sealed segment of the change log.
type LocalSegment struct {
	Name Name
	Base string // id of the backup that the log of the timeline begins with
	Path string
	Size int64
}

// Rules are what a plan goes by.
type Rules struct {
	From   uint64         // timelines before that one are not this directory's
	Keep   catalog.Policy // of the remote
	Delete bool           // else removal is left to the store's own rules
	Points time.Duration  // how long recovery points stay at most
	Sealed bool           // objects are sealed
	Keys   string         // keysOf the recipients; "" where what is sealed for others stays
	Claim  uint64         // number of this writer's note
	Now    time.Time
}

// Item is something to send.
type Item struct {
	Name  Name
	Path  string // of a segment
	Size  int64  // as it is here
	Entry *catalog.Entry
	Base  string // of a segment
	Why   string
	rank  rank
}

// rank says what is sent before what.
type rank int

const (
	rankNewest  rank = iota // backup: with it the machine can be lost
	rankFollows             // captures after the newest state that is there
	rankBackup
	rankBetween // captures between backups that are there
	rankJoined
)

// Removal is something to delete.
type Removal struct {
	Name string
	Why  string
	// What is sent again from here, and is proven first.
	Again   *catalog.Entry
	Segment *LocalSegment
}

// Plan is what to do at a remote, in order: first Remove, then Send.
type Plan struct {
	Send   []Item
	Remove []Removal
	// Unknown counts the backups of which only the name is known; those stay.
	Unknown int
}

// joinedFrom is the least number of segments at the remote that one joined from them here replaces.
const joinedFrom = 8

// Decide plans what is sent and what is removed. It is pure.
//
// The newest usable backup goes first: with it the machine can be lost. Then go the segments that follow a backup that is there,
// the oldest first, then the other backups, newest first, and at last segments that join many that are there.
//
// Backups are kept by catalog.Plan with the remote's own policy. What is sent is planned over what is there and here, what is removed
// over what is there alone: nothing makes room for a copy that is not there yet. Segments are removed where another one has their captures, where the
// backups that they follow are gone, and where they are older than recovery points stay and a later backup is there.
func Decide(l Local, there []Copy, r Rules) (p Plan) {
	w := look(l, there, r)
	p.Unknown = w.unknown
	p.Send = w.backups()
	for _, i := range p.Send {
		w.coming = append(w.coming, *i.Entry)
	}
	p.Send = append(p.Send, w.segments()...)
	slices.SortStableFunc(p.Send, func(a, b Item) int { return cmp.Compare(a.rank, b.rank) })
	if r.Delete {
		p.Remove = w.removals()
		if len(p.Send) == 0 && len(p.Remove) == 0 {
			p.Remove = w.reseal()
		}
	}
	return p
}

// world is what a plan looks at.
type world struct {
	Local
	Rules
	there   []catalog.Entry   // backups at the remote
	names   map[string]string // of their objects, by id
	damaged map[string]bool   // ids of those that are not
	others  map[string]bool   // names of objects that are sealed for other keys
	coming  []catalog.Entry   // those that are sent
	unknown int
	segs    map[uint64][]remoteSegment // by timeline, in order, the wider one first
	latest  string                     // id of the backup that goes first
	present uint64                     // timeline
	numbers []Name                     // of catalogs and writers
	heads   map[uint64]string
}

type remoteSegment struct {
	Copy
	Name
	reach uint64 // the last capture of those up to this one in the list that are whole
}

func look(l Local, there []Copy, r Rules) *world {
	w := &world{Local: l, Rules: r, names: map[string]string{}, damaged: map[string]bool{}, others: map[string]bool{}, segs: map[uint64][]remoteSegment{}, heads: map[uint64]string{}}
	here := map[string]catalog.Entry{}
	for _, e := range l.Backups {
		here[e.ID] = e
	}
	// A clock that was set back gives an id a second time. It is that of the backup that is here, else of the newest one there.
	newest := map[string]uint64{}
	for _, c := range there {
		if c.Entry != nil {
			newest[c.Entry.ID] = max(newest[c.Entry.ID], c.Entry.Seq)
		}
	}
	for _, c := range there {
		n, ok := Parse(c.Name)
		w.others[c.Name] = c.otherKeys(r.Keys)
		switch {
		case !ok:
		case n.Kind == Segment:
			w.segs[n.Timeline] = append(w.segs[n.Timeline], remoteSegment{Copy: c, Name: n})
			if c.Base != "" {
				w.heads[n.Timeline] = c.Base
			}
		case n.Kind == Catalog, n.Kind == Writer:
			w.numbers = append(w.numbers, n)
		case n.Kind != Backup:
		case c.Entry == nil:
			w.unknown++
		default:
			e := *c.Entry
			if now, ok := here[e.ID]; ok && madeOf(now) == madeOf(e) {
				e.Pinned, e.Note = now.Pinned, now.Note
			} else if ok || e.Seq != newest[e.ID] {
				e.ID = fmt.Sprint(e.ID, " ", e.Seq)
			}
			if c.Damaged != "" {
				e.Verification.State = catalog.Failed
				w.damaged[e.ID] = true
			}
			w.there, w.names[e.ID] = append(w.there, e), c.Name
		}
	}
	for _, list := range w.segs {
		slices.SortFunc(list, func(a, b remoteSegment) int {
			return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last), cmp.Compare(a.Copy.Name, b.Copy.Name))
		})
		reach := uint64(0)
		for i := range list {
			if list[i].Damaged == "" {
				reach = max(reach, list[i].Last)
			}
			list[i].reach = reach
		}
	}
	for _, s := range l.Segments {
		w.heads[s.Name.Timeline] = s.Base
	}
	latest, _ := catalog.Latest(slices.Values(w.sendable()), l.State)
	w.latest, w.present = latest.ID, catalog.PresentOf(slices.Values(l.Backups), l.State).Number
	return w
}

// sendable are the backups here that may be sent, newest first.
func (w *world) sendable() (list []catalog.Entry) {
	for _, e := range w.Local.Backups {
		if e.Usable() && !e.Adopted && e.Timeline.Number >= w.From {
			list = append(list, e)
		}
	}
	return list
}

// has reports whether a whole backup of that id is there, under a known entry.
func (w *world) has(id string) bool {
	return slices.ContainsFunc(w.there, func(e catalog.Entry) bool { return e.ID == id && !w.damaged[id] })
}

// backups are those to send: of all that are here or there the ones that the policy keeps.
func (w *world) backups() (items []Item) {
	all := slices.Clone(w.there)
	here := w.sendable()
	for _, e := range here {
		i := slices.IndexFunc(all, func(t catalog.Entry) bool { return t.ID == e.ID })
		if i < 0 {
			all = append(all, e)
		} else if w.damaged[e.ID] {
			all[i] = e
		}
	}
	keep := map[string]string{}
	for _, d := range catalog.Plan(all, w.State, w.Keep, w.Now) {
		if d.Keep {
			keep[d.ID] = d.Reason
		}
	}
	for _, e := range here {
		why, kept := keep[e.ID]
		if !kept || w.has(e.ID) || w.damaged[e.ID] && !w.Delete {
			continue
		}
		e := e.Public()
		e.Copies = nil
		item := Item{Name: Name{Kind: Backup, Number: e.Seq, ID: e.ID, Sealed: w.Sealed}, Size: e.ArchiveBytes, Entry: &e, Why: why, rank: rankBackup}
		if e.ID == w.latest {
			item.rank = rankNewest
		}
		items = append(items, item)
	}
	return items
}

// base is the capture of a timeline whose image a backup has.
func (w *world) base(e catalog.Entry, timeline uint64) (seq uint64, ok bool) {
	of, seq, ok := catalog.ParsePoint(e.Point)
	if ok && of == timeline {
		return seq, true
	}
	return 0, e.ID == w.heads[timeline]
}

// bases are the captures of a timeline whose images whole backups at the remote have, in order.
func (w *world) bases(timeline uint64) (list []uint64) {
	for _, e := range w.there {
		if seq, ok := w.base(e, timeline); ok && e.Usable() {
			list = append(list, seq)
		}
	}
	slices.Sort(list)
	return list
}

// stay are the captures of a timeline whose images backups have that are there, whole or not, or on their way, in order.
func (w *world) stay(timeline uint64) (list []uint64) {
	for _, e := range slices.Concat(w.there, w.coming) {
		if seq, ok := w.base(e, timeline); ok {
			list = append(list, seq)
		}
	}
	slices.Sort(list)
	return list
}

// segments are those to send: they follow a backup that is there, and what is there does not have their captures.
func (w *world) segments() (items []Item) {
	bases := map[uint64][]uint64{}
	for t := range w.heads {
		bases[t] = w.bases(t)
	}
	for _, s := range w.Local.Segments {
		n := s.Name
		if b := bases[n.Timeline]; n.Timeline < w.From || len(b) == 0 || n.Last <= b[0] {
			continue
		}
		item := Item{Name: n, Path: s.Path, Size: s.Size, Base: s.Base, Why: "its captures are not there"}
		item.Name.Sealed = w.Sealed
		switch covered, joins, one := w.covered(n); {
		case one, covered && joins < joinedFrom:
			continue
		case covered:
			item.Why, item.rank = joined, rankJoined
		case n.Timeline == w.present && n.Last > bases[n.Timeline][len(bases[n.Timeline])-1]:
			item.rank = rankFollows
		default:
			item.rank = rankBetween
		}
		items = append(items, item)
	}
	return items
}

const joined = "it joins segments that are there"

// covered reports whether segments at the remote have all captures of n, how many of them have no others, and whether
// one of them alone has them all.
func (w *world) covered(n Name) (covered bool, joins int, one bool) {
	list := w.segs[n.Timeline]
	after, _ := slices.BinarySearchFunc(list, n.First+1, func(s remoteSegment, first uint64) int { return cmp.Compare(s.First, first) })
	if after > 0 && list[after-1].reach >= n.Last { // of those that begin at n.First or before
		return true, 0, true
	}
	next := n.First
	if after > 0 && list[after-1].reach >= next {
		next = list[after-1].reach + 1
	}
	from, _ := slices.BinarySearchFunc(list, n.First, func(s remoteSegment, first uint64) int { return cmp.Compare(s.First, first) })
	for _, s := range list[from:] {
		if s.First > n.Last {
			break
		}
		if s.Damaged == "" && s.Last <= n.Last {
			joins++
		}
		if s.Damaged == "" && s.First <= next {
			next = max(next, s.Last+1)
		}
	}
	return next > n.Last, joins, false
}
