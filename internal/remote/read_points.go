package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/store"
)

// Want is the state that is asked for: that of an id, or the newest at or before a time; the newest of all where both are zero.
type Want struct {
	ID string // of a backup or a recovery point; "latest" is the newest backup
	At time.Time
}

// Find finds the state that is asked for. The segments of the change log that it may be in, and those that lead there, are
// copied to the scratch directory. Errors: [points.ErrNotFound], [*points.AmbiguousError], [seal.ErrNoIdentity] where it may be
// in what is sealed for other keys.
func (r *Reader) Find(ctx context.Context, w Want) (p points.Point, err error) {
	defer func() {
		switch why := r.lost[w.ID]; {
		case !errors.Is(err, points.ErrNotFound):
		case why != nil:
			err = why
		case r.locked != nil:
			err = r.locked
		}
	}()
	if w.ID == "latest" {
		latest, ok := catalog.Latest(slices.Values(r.entries), r.state)
		if !ok {
			return points.Point{}, fmt.Errorf("%w: there is no backup that can be read", points.ErrNotFound)
		}
		w.ID = latest.ID
	}
	_, p, err = r.find(ctx, w, func() []Name { return r.needed(w) })
	return p, err
}

func (r *Reader) find(ctx context.Context, w Want, segments func() []Name) (*points.Set, points.Point, error) {
	set, err := r.set(ctx, segments)
	if err != nil {
		return nil, points.Point{}, err
	}
	var p points.Point
	switch {
	case w.ID != "":
		p, err = set.Find(w.ID)
	case !w.At.IsZero():
		p, err = set.At(w.At)
	default:
		var newest []points.Point
		newest, _, err = set.List(points.Query{Limit: 1})
		if err == nil && len(newest) == 0 {
			err = fmt.Errorf("%w: there is nothing that can be read", points.ErrNotFound)
		}
		if err == nil {
			p = newest[0]
		}
	}
	return set, p, errors.Join(err, context.Cause(ctx))
}

// Image opens the image of a state that Find found. Where the nearest backup is damaged it is read over one before it.
func (r *Reader) Image(ctx context.Context, p points.Point) (*points.Image, error) {
	w := Want{ID: p.ID}
	var first error
	for _, segments := range []func() []Name{func() []Name { return r.needed(w) }, r.all} {
		set, p, err := r.find(ctx, w, segments)
		if err == nil {
			var i *points.Image
			if i, err = set.Open(ctx, p, r.OpenBackup); err == nil {
				return i, nil
			}
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// Points lists states, newest first. The segments of all of the time that the query asks for are copied to the scratch
// directory.
func (r *Reader) Points(ctx context.Context, q points.Query) (page []points.Point, next string, err error) {
	set, err := r.set(ctx, r.all)
	if err != nil {
		return nil, "", err
	}
	return set.List(q)
}

// Set is the states of a time and later, and the one before it; of a zero time all. Their segments are copied to the scratch directory.
func (r *Reader) Set(ctx context.Context, since time.Time) (*points.Set, error) {
	return r.set(ctx, func() (list []Name) {
		timelines := map[uint64]bool{}
		for _, n := range r.segments(0) {
			if !timelines[n.Timeline] {
				timelines[n.Timeline] = true
				list = append(list, r.segmentsSince(n.Timeline, since)...)
			}
		}
		return list
	})
}

// segmentsSince are those of a timeline that the states of a time and later need, and the one before.
func (r *Reader) segmentsSince(timeline uint64, since time.Time) []Name {
	all := r.segments(timeline)
	if since.IsZero() {
		return all
	}
	first := r.neededOf(timeline, 0, since)
	if len(first) == 0 {
		return all
	}
	return all[slices.Index(all, first[0]):]
}

// set is the states that segments, and all backups, have.
func (r *Reader) set(ctx context.Context, segments func() []Name) (*points.Set, error) {
	if err := r.stage(ctx, segments); err != nil {
		return nil, err
	}
	set, err := points.Read(ctx, nil, r.Scratch, r.entries, r.state)
	if err == nil {
		r.Notes = append(r.Notes, set.Damaged...)
	}
	return set, err
}

// all are the segments of all timelines.
func (r *Reader) all() []Name { return r.segments(0) }

// segments are those of a timeline, of all for 0, in order, without those whose captures another one has.
func (r *Reader) segments(timeline uint64) (kept []Name) {
	var all []Name
	for n := range r.objects {
		if n.Kind == Segment && (timeline == 0 || n.Timeline == timeline) {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b Name) int {
		return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last), compare(a.Sealed, b.Sealed))
	})
	for _, n := range all {
		if k := len(kept); k > 0 && kept[k-1].Timeline == n.Timeline && n.Last <= kept[k-1].Last {
			continue
		}
		kept = append(kept, n)
	}
	return kept
}

// compare puts false first.
func compare(a, b bool) int {
	if a == b {
		return 0
	} else if b {
		return -1
	}
	return 1
}

// needed are the segments that what is asked for may be in, and those between it and the nearest backup.
func (r *Reader) needed(w Want) (list []Name) {
	timelines := map[uint64]bool{}
	for n := range r.objects {
		if n.Kind == Segment {
			timelines[n.Timeline] = true
		}
	}
	timeline, seq, isPoint := catalog.ParsePoint(w.ID)
	if w.ID != "" && !isPoint {
		return nil // a backup's own archive has it
	}
	for t := range timelines {
		if !isPoint || t == timeline {
			list = append(list, r.neededOf(t, seq, w.At)...)
		}
	}
	return list
}

// neededOf are those of a timeline, as leading has them.
func (r *Reader) neededOf(timeline, seq uint64, at time.Time) []Name {
	var bases []uint64
	for _, e := range r.entries {
		if of, seq, ok := catalog.ParsePoint(e.Point); ok && of == timeline && e.Usable() {
			bases = append(bases, seq)
		}
	}
	return leading(r.segments(timeline), bases, seq, at)
}

// leading are the segments of a timeline from the last base on that is before the capture seq, or before what can be the
// newest one at a time; of a zero time the last one. Captures of a segment are later than those of the one before it, unless
// the clock was set back: then all are needed.
func leading(segments []Name, bases []uint64, seq uint64, at time.Time) []Name {
	if len(segments) == 0 {
		return nil
	}
	end := len(segments) - 1
	from := segments[end].First
	if seq > 0 {
		end, from = slices.IndexFunc(segments, func(n Name) bool { return n.Last >= seq }), seq
		if end < 0 {
			return nil
		}
	} else if !at.IsZero() {
		if !slices.IsSortedFunc(segments, func(a, b Name) int { return a.At.Compare(b.At) }) {
			return segments
		}
		// Names have whole seconds.
		if i := slices.IndexFunc(segments, func(n Name) bool { return n.At.After(at) }); i >= 0 {
			end = i
		}
		from = segments[max(end-1, 0)].First
	}
	base := uint64(0)
	for _, b := range bases {
		if b <= from {
			base = max(base, b)
		}
	}
	begin := slices.IndexFunc(segments, func(n Name) bool { return n.Last > base })
	if begin < 0 || begin > end {
		return nil
	}
	return segments[begin : end+1]
}

// relists is how often what is there is listed again for one question.
const relists = 3

// stage copies segments to the scratch directory, where they look as in a backup directory. A service that is at work joins them, and removes
// those that it joined: then what is there is listed again, and the segments are chosen from that.
func (r *Reader) stage(ctx context.Context, segments func() []Name) error {
	for try := 0; ; try++ {
		missing, err := r.stageAll(ctx, segments(), try == relists)
		if err != nil || !missing {
			return err
		}
		if err := r.relist(ctx); err != nil {
			return fmt.Errorf("read %s: %w", r.from, err)
		}
	}
}

// relist looks again which segments are there.
func (r *Reader) relist(ctx context.Context) error {
	now, err := list(ctx, r.from)
	if err != nil {
		return err
	}
	maps.DeleteFunc(r.objects, func(n Name, _ store.Object) bool { return n.Kind == Segment })
	for n, o := range now {
		if n.Kind == Segment && (n.Sealed || !r.keyed()) {
			r.objects[n] = o
		}
	}
	return nil
}

// stageAll is stage for segments of the present list. missing: one of them is not there any more, and no segment was found wanting; with lasting it
// is, as any other that cannot be read.
func (r *Reader) stageAll(ctx context.Context, segments []Name, lasting bool) (missing bool, err error) {
	var todo []Name
	need := int64(0)
	for _, n := range segments {
		if !r.staged[n] {
			todo = append(todo, n)
			need += r.objects[n].Size
		}
	}
	if len(todo) == 0 {
		return false, nil
	}
	if err := durable.Fits(r.Scratch, need); err != nil {
		return false, fmt.Errorf("copy the change log: %w", err)
	}
	errs := make([]error, len(todo))
	turns := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i, n := range todo {
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			errs[i] = r.stageOne(ctx, n)
		})
	}
	wait.Wait()
	missing = !lasting && slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, store.ErrMissing) })
	for i, n := range todo {
		if r.staged[n] = errs[i] == nil; missing {
			continue
		}
		if err := r.without(n, errs[i]); err != nil {
			return false, err
		}
	}
	return missing, nil
}

// stageOne copies a segment. Its pages are proven when they are read.
func (r *Reader) stageOne(ctx context.Context, n Name) (err error) {
	c, err := r.content(ctx, n)
	if err != nil {
		return err
	}
	dir := points.Directory(r.Scratch, n.Timeline)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if c.Size() > maxSegment {
		return fmt.Errorf("%w: a segment of %d bytes", changes.ErrDamaged, c.Size())
	}
	f, err := os.OpenFile(filepath.Join(dir, segmentFile(n)), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	b := newBlocks(ctx, c)
	_, err = io.Copy(f, io.NewSectionReader(b, 0, c.Size()))
	err = errors.Join(err, b.Close(), f.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// maxSegment bounds what is copied: segments are sealed at 16 MiB, and one capture may be as large as the database.
const maxSegment = 1 << 40

// segmentFile is the name of a segment's file in a backup directory.
func segmentFile(n Name) string {
	n.Sealed = false
	return filepath.Base(n.String())
}
