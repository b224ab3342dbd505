package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/schedule"
)

// segment is a sealed one of any timeline.
type segment struct {
	changes.Sealed
	timeline uint64
	bytes    int64
}

// is reports whether d is of the segment.
func (s segment) is(d catalog.DamagedSegment) bool {
	return d.Timeline == s.timeline && d.First == s.First && d.Last == s.Last
}

// due are the segments to read again now, after those that were read last. At the end a new round begins.
func due(all []segment, p catalog.SegmentProofs) []segment {
	var total int64
	for _, s := range all {
		total += s.bytes
	}
	next := slices.IndexFunc(all, func(s segment) bool {
		return cmp.Or(cmp.Compare(s.timeline, p.Timeline), cmp.Compare(s.Last, p.Seq)) > 0
	})
	never := func(segment) bool { return false } // a round has no more shares than there are days
	return schedule.Share(all[max(0, next):], total, func(s segment) int64 { return s.bytes }, never)
}

// reprove reads a share of the sealed segments again once a day, and those that failed their proof.
func (r *Recorder) reprove(ctx context.Context, now time.Time) error {
	all, state, err := r.o.Host.Read()
	if err != nil {
		return err
	}
	var was catalog.SegmentProofs
	if state.SegmentProofs != nil {
		was = *state.SegmentProofs
	}
	if now.Sub(was.At).Abs() < schedule.ProveEvery {
		return nil
	}
	segments, unlisted, err := r.segments()
	if err != nil || len(segments)+len(was.Damaged) == 0 {
		return err
	}
	list := due(segments, was)
	is := catalog.SegmentProofs{At: now.UTC(), Timeline: was.Timeline, Seq: was.Seq}
	if n := len(list); n > 0 {
		is.Timeline, is.Seq = list[n-1].timeline, list[n-1].Last
	}
	errs := slices.Collect(maps.Values(unlisted))
	for _, d := range was.Damaged {
		if unlisted[d.Timeline] != nil { // it is no better than it was
			is.Damaged = append(is.Damaged, d)
		}
	}
	for _, s := range segments {
		known := slices.IndexFunc(was.Damaged, s.is)
		if known < 0 && !slices.Contains(list, s) {
			continue
		}
		from, err := r.prove(ctx, filepath.Join(r.dir(s.timeline), s.Name), s.Sealed)
		switch {
		case errors.Is(err, changes.ErrDamaged):
			d := catalog.DamagedSegment{Timeline: s.timeline, First: s.First, Last: s.Last, From: from, At: now.UTC(), What: err.Error()}
			is.Damaged = append(is.Damaged, d)
			if r.endDamaged(all, d); known < 0 {
				r.o.Host.Report(Event{Kind: Rotted, Damaged: &d, Reason: d.What,
					Message: fmt.Sprintf("a segment of the change log is damaged: no point from %s on can be proven that has no backup after %s to be read from",
						catalog.PointID(d.Timeline, d.From), catalog.PointID(d.Timeline, d.Last))})
			}
		case ctx.Err() != nil:
			return nil // all of it is for the next time
		case err != nil && !errors.Is(err, fs.ErrNotExist): // merged with others meanwhile
			errs = append(errs, fmt.Errorf("prove a segment again: %w", err))
			if known >= 0 { // what could not be read is no better than it was
				is.Damaged = append(is.Damaged, was.Damaged[known])
			}
		}
	}
	r.o.Host.Update("proof of the change log", func(s *catalog.State) { s.SegmentProofs = &is })
	return errors.Join(errs...)
}

// segments lists the sealed segments of all timelines, in order. What cannot be listed is for a person to look at: unlisted says why.
func (r *Recorder) segments() (all []segment, unlisted map[uint64]error, err error) {
	timelines, err := changes.Timelines(r.o.Dir)
	if err != nil {
		return nil, nil, err
	}
	unlisted = map[uint64]error{}
	for _, t := range timelines {
		list, err := r.segmentsOf(t)
		if err != nil {
			unlisted[t] = err
		}
		all = append(all, list...)
	}
	return all, unlisted, nil
}

func (r *Recorder) segmentsOf(timeline uint64) (list []segment, err error) {
	sealed, err := changes.SealedIn(r.dir(timeline))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it was removed meanwhile
	}
	for _, s := range sealed {
		fi, err := os.Lstat(filepath.Join(r.dir(timeline), s.Name))
		if err == nil {
			list = append(list, segment{s, timeline, fi.Size()})
		} else if !errors.Is(err, fs.ErrNotExist) { // else it was merged with others
			return nil, err
		}
	}
	return list, err
}

// endDamaged ends the log of the present timeline where what is captured from now on would need a damaged segment: what comes then
// builds on the newest backup.
func (r *Recorder) endDamaged(all []catalog.Entry, d catalog.DamagedSegment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log == nil || r.timeline != d.Timeline {
		return
	}
	last, _, err := r.log.Last()
	if list := bases(all, d.Timeline, r.log.Head().Base, last.Seq); err == nil && len(list) > 0 && list[0].seq >= d.Last {
		return
	}
	r.trouble(r.seal())
	r.rotten = errors.New(d.What)
	r.Wake()
}
