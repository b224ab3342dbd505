package points

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
)

// ErrNotFound: there is no such point, or it cannot be restored.
var ErrNotFound = errors.New("no such recovery point")

// Set is the points that can be restored at one moment.
type Set struct {
	backups string // the backup directory
	state   catalog.State
	items   []item // in order
	// Damaged says what is not offered because a change log cannot be read.
	Damaged []error
}

// Cache keeps what does not change between one Read and the next.
type Cache = changes.Cache

// Read looks at the backups, newest first, and at the change logs next to them.
func Read(ctx context.Context, cache *Cache, backups string, entries []catalog.Entry, state catalog.State) (*Set, error) {
	numbers, damage := timelines(backups)
	if damage != nil && !errors.Is(damage, changes.ErrDamaged) {
		return nil, damage
	}
	s, err := read(ctx, cache, backups, numbers, entries, state)
	if err == nil && damage != nil {
		s.Damaged = append(s.Damaged, damage)
	}
	return s, err
}

// Newer returns the set of one timeline, and its points that are newer than its newest backup, newest first. entries come newest first.
func Newer(ctx context.Context, backups string, timeline uint64, entries []catalog.Entry, state catalog.State) (*Set, []Point, error) {
	s, err := read(ctx, nil, backups, []uint64{timeline}, entries, state)
	if err != nil {
		return nil, nil, err
	}
	newest := slices.IndexFunc(entries, func(e catalog.Entry) bool { return e.Unfailed() && timelineOf(e) == timeline })
	var newer []Point
	for i := len(s.items) - 1; i >= 0; i-- {
		p := s.point(i)
		switch {
		case p.timeline != timeline:
		case p.Kind == Backup, newest >= 0 && !p.after(entries[newest]):
			return s, newer, nil
		default:
			newer = append(newer, p)
		}
	}
	return s, newer, nil
}

// after reports whether a capture is newer than a backup of its timeline.
func (p Point) after(e catalog.Entry) bool {
	if _, seq, placed := catalog.ParsePoint(e.Point); placed {
		return p.seq > seq
	}
	return p.At.After(e.CreatedAt)
}

// Find looks for one point, in the log of its timeline alone. The id is TIMELINE.SEQ.
func Find(ctx context.Context, backups, id string, entries []catalog.Entry, state catalog.State) (*Set, Point, error) {
	timeline, _, ok := catalog.ParsePoint(id)
	if !ok {
		return nil, Point{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	s, err := read(ctx, nil, backups, []uint64{timeline}, entries, state)
	if err != nil {
		return nil, Point{}, err
	}
	p, err := s.Find(id)
	if err != nil && len(s.Damaged) > 0 {
		err = errors.Join(err, errors.Join(s.Damaged...))
	}
	return s, p, err
}

// read looks at the logs of some timelines.
func read(ctx context.Context, cache *Cache, backups string, numbers []uint64, entries []catalog.Entry, state catalog.State) (*Set, error) {
	s := &Set{backups: backups, state: state}
	usable := slices.DeleteFunc(slices.Clone(entries), func(e catalog.Entry) bool { return !e.Usable() })
	slices.SortFunc(usable, func(a, b catalog.Entry) int { return int(int64(a.Seq) - int64(b.Seq)) })
	for len(usable) > 0 || len(numbers) > 0 {
		next := uint64(1<<63 - 1)
		if len(numbers) > 0 {
			next = numbers[0]
		}
		for _, e := range usable {
			next = min(next, timelineOf(e))
		}
		var of []catalog.Entry
		usable = slices.DeleteFunc(usable, func(e catalog.Entry) bool {
			if timelineOf(e) == next {
				of = append(of, e)
				return true
			}
			return false
		})
		var captures []item
		if len(numbers) > 0 && numbers[0] == next {
			numbers = numbers[1:]
			var err error
			if captures, err = s.captures(ctx, cache, next, entries); err != nil {
				return nil, err
			}
		}
		s.items = merge(s.items, captures, of)
	}
	return s, nil
}

// timelineOf is the timeline that the backup is listed with; another directory's count as the oldest.
func timelineOf(e catalog.Entry) uint64 {
	if e.Adopted {
		return 0
	}
	if timeline, _, ok := catalog.ParsePoint(e.Point); ok {
		return timeline
	}
	return e.Timeline.Number
}

// captures are those of a timeline's log that can be restored, in order.
func (s *Set) captures(ctx context.Context, cache *Cache, timeline uint64, entries []catalog.Entry) (all []item, err error) {
	v, err := changes.Read(ctx, Directory(s.backups, timeline))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, changes.ErrDamaged):
		s.Damaged = append(s.Damaged, err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer v.Close()
	if v.Damaged != nil {
		s.Damaged = append(s.Damaged, v.Damaged)
	}
	runs, err := v.Runs(ctx, cache)
	if err != nil {
		return nil, err
	}
	head := v.Head()
	if head.Timeline != timeline {
		s.Damaged = append(s.Damaged, fmt.Errorf("the change log of timeline %d is in the place of that of timeline %d", head.Timeline, timeline))
		return nil, nil
	}
	bases := basesOf(head, entries)
	for i := range runs {
		if runs[i].Damaged != nil {
			s.Damaged = append(s.Damaged, runs[i].Damaged)
		}
		if i > 0 && runs[i-1].Damaged == nil {
			s.Damaged = append(s.Damaged, fmt.Errorf("%w: nothing leads to capture %s", changes.ErrDamaged, catalog.PointID(timeline, runs[i].After+1)))
		}
		if some := offered(&runs[i], head, bases); len(all) == 0 {
			all = some
		} else {
			all = append(all, some...)
		}
	}
	return all, nil
}

// item is what a point is made of when it is asked for: there may be very many.
type item struct {
	line   *line           // of the capture; nil for a backup that is in no log
	c      *changes.Listed // the capture, nil with line
	near   int             // how many of the line's bases have no later capture
	backup *catalog.Entry  // with this very state; nil for none
	placed bool            // without a capture: the backup's point is its id
}

// line is a part of a change log without a gap.
type line struct {
	head  changes.Head
	bases []base // that lead to captures of it, in order
}

// at is when the state was the database's.
func (i *item) at() time.Time {
	if i.c != nil {
		return i.c.At()
	}
	return i.backup.CreatedAt
}

// is reports whether id names the item.
func (i *item) is(id string) bool {
	if i.backup != nil && (i.backup.ID == id || i.placed && i.backup.Point == id) {
		return true
	}
	timeline, seq, ok := catalog.ParsePoint(id)
	return ok && i.c != nil && i.c.Seq == seq && i.line.head.Timeline == timeline
}

// offered are the captures of a run that have a base.
func offered(r *changes.Run, head changes.Head, bases []base) (all []item) {
	l := &line{head: head}
	all = make([]item, 0, r.Len())
	for c := range r.Captures() {
		for len(bases) > 0 && bases[0].seq <= c.Seq {
			if bases[0].seq >= r.After {
				l.bases = append(l.bases, bases[0])
			}
			bases = bases[1:]
		}
		if len(l.bases) > 0 {
			all = append(all, item{line: l, c: c, near: len(l.bases)})
		}
	}
	return all
}

// merge appends captures and backups of one timeline, each in its own order: a backup goes to its
// capture, or else where its time says.
func merge(all, captures []item, backups []catalog.Entry) []item {
	all = slices.Grow(all, len(captures)+len(backups))
	for _, e := range backups {
		_, seq, placed := catalog.ParsePoint(e.Point)
		placed = placed && !e.Adopted
		n := slices.IndexFunc(captures, func(c item) bool { return placed && c.c.Seq > seq || !placed && c.at().After(e.CreatedAt) })
		if n < 0 {
			n = len(captures)
		}
		all, captures = append(all, captures[:n]...), captures[n:]
		next := item{backup: &e, placed: placed && seq > 0}
		if last := len(all) - 1; next.placed && last >= 0 {
			if all[last].backup == nil && all[last].is(e.Point) {
				all[last].backup = &e
				continue
			}
			next.placed = !all[last].is(e.Point) && (all[last].backup == nil || all[last].backup.Point != e.Point) // each id is given once
		}
		all = append(all, next)
	}
	return append(all, captures...)
}

// point is the point of an item.
func (s *Set) point(i int) Point {
	of := s.items[i]
	p := Point{Kind: Backup, State: Verified, backup: of.backup}
	if e := of.backup; e != nil {
		p.ID, p.At, p.Pages, p.Bytes, p.Backup = e.ID, e.CreatedAt, e.PageCount, e.DatabaseBytes, &e.ID
		p.timeline, p.pageSize = timelineOf(*e), e.PageSize
		if of.placed {
			p.ID = e.Point
			_, p.seq, _ = catalog.ParsePoint(e.Point)
		}
	}
	if of.c == nil {
		return p
	}
	head, from := of.line.head, of.c.From()
	p.ID, p.From, p.At, p.Commits, p.Pages = catalog.PointID(head.Timeline, of.c.Seq), &from, of.c.At(), of.c.Commits, of.c.Pages
	p.Bytes = p.Pages * int64(head.PageSize)
	p.timeline, p.seq, p.log, p.pageSize, p.source = head.Timeline, of.c.Seq, true, head.PageSize, of.c.Source
	p.bases = of.line.bases[:of.near:of.near]
	if of.backup == nil {
		p.Kind = Change
		switch {
		case s.state.DamagedAt(p.timeline, p.bases[len(p.bases)-1].seq, p.seq):
			p.State = Damaged
		case !s.state.Anchored(p.timeline, p.seq):
			p.State = Sealed
		}
	}
	return p
}

// Query chooses points. Zero values do not restrict.
type Query struct {
	From, To time.Time
	Limit    int
	Cursor   string // the next of a List before
}

// List returns points, newest first, and the cursor that goes on after them, "" at the end.
func (s *Set) List(q Query) (page []Point, next string, err error) {
	end := len(s.items)
	if q.Cursor != "" {
		if end = s.index(q.Cursor); end < 0 {
			return nil, "", fmt.Errorf("%w: to go on after %q: it was thinned out meanwhile", ErrNotFound, q.Cursor)
		}
	}
	room := end
	if q.Limit > 0 {
		room = min(room, q.Limit)
	}
	page = make([]Point, 0, room)
	for i := end - 1; i >= 0; i-- {
		if at := s.items[i].at(); !q.From.IsZero() && at.Before(q.From) || !q.To.IsZero() && at.After(q.To) {
			continue
		}
		if q.Limit > 0 && len(page) == q.Limit {
			return page, page[len(page)-1].ID, nil
		}
		page = append(page, s.point(i))
	}
	return page, "", nil
}

// index is the number of the newest item with an id; -1 for none.
func (s *Set) index(id string) int {
	for i := len(s.items) - 1; i >= 0; i-- {
		if s.items[i].is(id) {
			return i
		}
	}
	return -1
}

// Find returns a point by its id, or by that of the backup with its state.
func (s *Set) Find(id string) (Point, error) {
	if i := s.index(id); i >= 0 {
		return s.point(i), nil
	}
	return Point{}, fmt.Errorf("%w: %s", ErrNotFound, id)
}

// AmbiguousError: a clock was set back, and a time came twice.
type AmbiguousError struct {
	At     time.Time
	Points []Point // the newest at or before the time, each time that it came; oldest first
}

func (e *AmbiguousError) Error() string {
	text := e.At.UTC().Format(time.RFC3339) + " came more than once, the clock was set back:"
	for _, p := range e.Points {
		text += " " + p.ID
	}
	return text
}

// At returns the newest point at or before a time; where its clock was set back since, an AmbiguousError.
func (s *Set) At(t time.Time) (Point, error) {
	var found []Point
	for i := range s.items {
		if !s.items[i].at().After(t) && (i+1 == len(s.items) || s.items[i+1].at().After(t)) {
			found = append(found, s.point(i))
		}
	}
	switch len(found) {
	case 0:
		return Point{}, fmt.Errorf("%w: none is of %s or before", ErrNotFound, t.Format(time.RFC3339))
	case 1:
		return found[0], nil
	}
	return Point{}, &AmbiguousError{t, found}
}
