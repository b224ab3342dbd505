package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
)

// base is a backup whose image a log's capture has, 0 for the image before the first one.
type base struct {
	catalog.Entry
	seq uint64
}

// bases lists what a log that has captures can be read from, the newest first.
func bases(all []catalog.Entry, timeline uint64, head string, last uint64) []base {
	return basesIn(all, catalog.Entry.Usable, timeline, head, last)
}

// basesIn is bases of the backups that count.
func basesIn(all []catalog.Entry, counts func(catalog.Entry) bool, timeline uint64, head string, last uint64) (list []base) {
	for _, e := range all {
		of, seq, ok := catalog.ParsePoint(e.Point)
		switch {
		case !counts(e) || e.PageSize == 0:
		case ok && of == timeline && seq <= last && !e.Adopted: // the number is not of another directory
			list = append(list, base{e, seq})
		case e.ID == head:
			list = append(list, base{e, 0})
		}
	}
	slices.SortStableFunc(list, func(a, b base) int { return int(int64(b.seq - a.seq)) })
	return list
}

// firstBases lists what a new log may build on: the newest backup of the timeline, or the one
// that it goes on from.
func firstBases(all []catalog.Entry, present catalog.Present) (list []base) {
	for _, e := range all {
		if e.Usable() && !e.Adopted && e.PageSize > 0 && e.Timeline.Number == present.Number {
			list = append(list, base{e, 0})
		}
	}
	if i := slices.IndexFunc(all, func(e catalog.Entry) bool { return e.ID == present.From }); i >= 0 && all[i].Usable() && all[i].PageSize > 0 {
		list = append(list, base{all[i], 0})
	}
	return list
}

// open opens the log of the present timeline, or begins one.
func (r *Recorder) open(ctx context.Context) error {
	all, state, err := r.o.Host.Read()
	if err != nil {
		return err
	}
	if state.Restoring != nil {
		return errSuspended
	}
	present := catalog.PresentOf(slices.Values(all), state)
	r.timeline = present.Number
	seed, err := r.o.Host.PageSeed(ctx)
	if err != nil {
		return err
	}
	head, err := headOf(ctx, r.dir(present.Number))
	switch {
	case errors.Is(err, fs.ErrNotExist) && (r.had == present.Number || hadPoints(all, state, present.Number)):
		return &endedError{r.timeline, catalog.NewLog, "its change log is gone, and no number of a recovery point is given twice"}
	case errors.Is(err, fs.ErrNotExist):
		return r.begin(ctx, firstBases(all, present), seed)
	case errors.Is(err, changes.ErrDamaged):
		return &endedError{r.timeline, catalog.NewLog, err.Error()}
	case err != nil:
		return err
	}
	if !leadsHere(head, all, present) {
		return &endedError{r.timeline, catalog.NewLog, fmt.Sprintf("its change log builds on %s, and the database goes on from %s", head.Base, present.From)}
	}
	return r.goOn(ctx, head, all, seed)
}

// leadsHere reports whether a log can be of the present timeline: it builds on the backup that the timeline goes on from, or on one
// of its own. What is not known any more says nothing against it. A catalog that was put back as it was once gives a
// number twice.
func leadsHere(head changes.Head, all []catalog.Entry, present catalog.Present) bool {
	if present.From == "" || head.Base == present.From {
		return true
	}
	i := slices.IndexFunc(all, func(e catalog.Entry) bool { return e.ID == head.Base })
	return i < 0 || all[i].Timeline.Number == present.Number
}

// hadPoints reports whether captures of a timeline are known, which its log had.
func hadPoints(all []catalog.Entry, state catalog.State, timeline uint64) bool {
	return slices.ContainsFunc(state.Anchors, func(a catalog.Anchor) bool { return a.Timeline == timeline }) ||
		slices.ContainsFunc(all, func(e catalog.Entry) bool {
			of, _, ok := catalog.ParsePoint(e.Point)
			return ok && of == timeline && !e.Adopted
		})
}

// headOf is what the captures of a log have in common.
func headOf(ctx context.Context, dir string) (changes.Head, error) {
	v, err := changes.Read(ctx, dir)
	if err != nil {
		return changes.Head{}, err
	}
	head := v.Head()
	return head, v.Close()
}

// begin begins a log on the first of the bases that can be read.
func (r *Recorder) begin(ctx context.Context, list []base, seed archive.Seed) error {
	for _, b := range list {
		if b.ID == r.unfit {
			continue
		}
		reader, err := r.o.Host.OpenArchive(b.Entry)
		if err != nil || reader.Seed() != seed {
			if err == nil {
				reader.Close() // only read
			}
			continue // the next one will do; that it cannot be read is for verify to say
		}
		defer reader.Close()
		r.log, err = changes.Open(r.dir(r.timeline), changes.Head{
			Timeline: r.timeline, Database: r.o.Name, Base: b.ID, PageSize: reader.Info().PageSize, PageSeed: seed.String(),
		})
		if err != nil {
			return err
		}
		r.points = 0
		return r.chained(ctx, b, reader)
	}
	return errWaiting
}

// goOn opens a log that has captures.
func (r *Recorder) goOn(ctx context.Context, head changes.Head, all []catalog.Entry, seed archive.Seed) (err error) {
	if head.PageSeed != seed.String() {
		return &endedError{r.timeline, catalog.NewLog, "it is the change log of another backup directory"}
	}
	if r.log, err = changes.Open(r.dir(r.timeline), head); err != nil {
		if errors.Is(err, changes.ErrDamaged) {
			return &endedError{r.timeline, catalog.NewLog, err.Error()}
		}
		return err
	}
	last, _, err := r.log.Last()
	if errors.Is(err, changes.ErrDamaged) {
		return &endedError{r.timeline, catalog.NewLog, err.Error()}
	} else if err != nil {
		return err
	}
	if r.points, err = r.log.Count(ctx); err != nil {
		return err
	}
	r.had = r.timeline
	for _, b := range bases(all, r.timeline, head.Base, last.Seq) {
		reader, err := r.o.Host.OpenArchive(b.Entry)
		if err != nil || reader.Seed() != seed || reader.Info().PageSize != head.PageSize {
			if err == nil {
				reader.Close() // only read
			}
			continue
		}
		err = r.chained(ctx, b, reader)
		reader.Close() // only read
		if !errors.Is(err, changes.ErrDamaged) && !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return &endedError{r.timeline, catalog.NewLog, fmt.Sprintf("no backup is left that capture %d follows from", last.Seq)}
}

// sourceOf is where the files were when e was taken; zero where that is not known.
func sourceOf(e catalog.Entry) (at capture.Source) {
	if json.Unmarshal(e.Source, &at.Files) != nil {
		return capture.Source{}
	}
	return at
}

// chained continues the open log after a base.
func (r *Recorder) chained(ctx context.Context, b base, reader *archive.Reader) (err error) {
	from := capture.Base{Archive: reader, Seq: b.seq, At: b.CreatedAt, Source: sourceOf(b.Entry)}
	if r.chain, err = capture.Open(ctx, r.o.Database, from, r.log); err != nil {
		return err
	}
	r.setBase(b.ID)
	return nil
}

// setBase records what the newest points build on.
func (r *Recorder) setBase(id string) {
	r.base = id
	if _, state, err := r.o.Host.Read(); err == nil && state.PointsBase != id {
		r.o.Host.Update("base of the change log", func(s *catalog.State) { s.PointsBase = id })
	}
}
