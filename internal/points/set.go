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
	points  []Point
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

// Newer returns the set of one timeline, and its points that are newer than its newest backup, newest first.
func Newer(ctx context.Context, backups string, timeline uint64, entries []catalog.Entry, state catalog.State) (*Set, []Point, error) {
	s, err := read(ctx, nil, backups, []uint64{timeline}, entries, state)
	if err != nil {
		return nil, nil, err
	}
	var newer []Point
	for _, p := range slices.Backward(s.points) {
		if p.timeline == timeline && p.Kind == Backup {
			break
		}
		if p.timeline == timeline {
			newer = append(newer, p)
		}
	}
	return s, newer, nil
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
	s := &Set{backups: backups}
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
		var captures []Point
		if len(numbers) > 0 && numbers[0] == next {
			numbers = numbers[1:]
			var err error
			if captures, err = s.captures(ctx, cache, next, entries, state); err != nil {
				return nil, err
			}
		}
		s.points = merge(s.points, captures, of)
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

// captures are the points of a timeline's log, in order.
func (s *Set) captures(ctx context.Context, cache *Cache, timeline uint64, entries []catalog.Entry, state catalog.State) (all []Point, err error) {
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
		if i > 0 {
			s.Damaged = append(s.Damaged, fmt.Errorf("%w: nothing leads to capture %s", changes.ErrDamaged, catalog.PointID(timeline, runs[i].After+1)))
		}
		all = append(all, offered(runs[i], head, bases, state)...)
	}
	return all, nil
}

// offered are the captures of a run that have a base.
func offered(r changes.Run, head changes.Head, bases []base, state catalog.State) (all []Point) {
	var good []base // for the capture, the nearest one last
	for _, c := range r.Captures {
		for len(bases) > 0 && bases[0].seq <= c.Seq {
			if bases[0].seq >= r.After {
				good = append(good, bases[0])
			}
			bases = bases[1:]
		}
		if len(good) == 0 {
			continue
		}
		from := c.From
		p := Point{
			ID: catalog.PointID(head.Timeline, c.Seq), From: &from, At: c.At, Kind: Change, Commits: c.Commits, Pages: c.Pages,
			Bytes: c.Pages * int64(head.PageSize), State: Sealed, timeline: head.Timeline, seq: c.Seq, log: true,
			bases: good[:len(good):len(good)], pageSize: head.PageSize, source: c.Source,
		}
		if state.Anchored(head.Timeline, c.Seq) {
			p.State = Verified
		}
		all = append(all, p)
	}
	return all
}

// merge appends captures and backups of one timeline, each in its own order: a backup goes to its
// capture, or else where its time says.
func merge(all, captures []Point, backups []catalog.Entry) []Point {
	for _, e := range backups {
		_, seq, placed := catalog.ParsePoint(e.Point)
		placed = placed && !e.Adopted
		n := slices.IndexFunc(captures, func(c Point) bool { return placed && c.seq > seq || !placed && c.At.After(e.CreatedAt) })
		if n < 0 {
			n = len(captures)
		}
		all, captures = append(all, captures[:n]...), captures[n:]
		if last := len(all) - 1; placed && last >= 0 && all[last].ID == e.Point && all[last].backup == nil {
			p := &all[last]
			p.Kind, p.Backup, p.State, p.backup = Backup, &e.ID, Verified, &e
			continue
		}
		p := Point{
			ID: e.ID, At: e.CreatedAt, Kind: Backup, Pages: e.PageCount, Bytes: e.DatabaseBytes, Backup: &e.ID, State: Verified,
			timeline: timelineOf(e), backup: &e, pageSize: e.PageSize,
		}
		if last := len(all) - 1; placed && seq > 0 && (last < 0 || all[last].ID != e.Point) {
			p.ID, p.seq = e.Point, seq
		}
		all = append(all, p)
	}
	return append(all, captures...)
}

// Query chooses points. Zero values do not restrict.
type Query struct {
	From, To time.Time
	Limit    int
	Cursor   string // the next of a List before
}

// List returns points, newest first, and the cursor that goes on after them, "" at the end.
func (s *Set) List(q Query) (page []Point, next string, err error) {
	all := s.points
	if q.Cursor != "" {
		end := slices.IndexFunc(all, func(p Point) bool { return p.ID == q.Cursor })
		if end < 0 {
			return nil, "", fmt.Errorf("%w: to go on after %q: it was thinned out meanwhile", ErrNotFound, q.Cursor)
		}
		all = all[:end]
	}
	page = []Point{}
	for _, p := range slices.Backward(all) {
		if !q.From.IsZero() && p.At.Before(q.From) || !q.To.IsZero() && p.At.After(q.To) {
			continue
		}
		if q.Limit > 0 && len(page) == q.Limit {
			return page, page[len(page)-1].ID, nil
		}
		page = append(page, p)
	}
	return page, "", nil
}

// Find returns a point by its id, or by that of the backup with its state.
func (s *Set) Find(id string) (Point, error) {
	for _, p := range slices.Backward(s.points) {
		if p.ID == id || p.Backup != nil && *p.Backup == id {
			return p, nil
		}
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
	for i, p := range s.points {
		if !p.At.After(t) && (i+1 == len(s.points) || s.points[i+1].At.After(t)) {
			found = append(found, p)
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
