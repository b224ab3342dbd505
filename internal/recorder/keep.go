package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/durable"
)

const (
	// keepEvery is how often the retention of points is carried out; an idle database's, too.
	keepEvery = time.Hour
	// newsAfter is for how long a log has its room again before thinning it is news.
	newsAfter = 24 * time.Hour
	// mergeAfter is how old captures are before their segments are merged: what is sealed for a remote is sent as it is until then.
	mergeAfter = 10 * time.Minute
	// maxHalvings is how often the tiers are halved for a limit of size.
	maxHalvings = 8
)

// keeper is when the retention was carried out last.
type keeper struct {
	at     time.Time
	shrunk time.Time // when points went before their time, or zero
}

// chores are what is done from time to time. The retention may take long: when it is due the time is sent to work.
func (r *Recorder) chores(work chan<- time.Time) {
	now, away := r.o.Now(), r.o.Host.CheckPlace()
	if away == nil {
		r.trouble(r.SealOlder(sealEvery))
	}
	r.mu.Lock()
	due := r.timeline > 0 && (r.keep.at.IsZero() || now.Sub(r.keep.at).Abs() >= keepEvery) // it is known which log is the present one
	if due {
		r.keep.at = now
	}
	r.mu.Unlock()
	switch {
	case !due:
	case away != nil:
		r.trouble(away)
	default:
		select {
		case work <- now:
		default: // it is at work
		}
	}
}

// housekeep carries out the retention, and proves segments again, at the times that work gives, next to the looks.
func (r *Recorder) housekeep(ctx context.Context, work <-chan time.Time) {
	for now := range work {
		if err := errors.Join(r.retain(ctx, now), r.reprove(ctx, now)); ctx.Err() == nil {
			r.trouble(err)
		}
	}
}

// kept is what bases and tiers want of a log.
type kept struct {
	from uint64 // captures up to this one go
	all  bool   // the log goes
}

// decide says what stays of a log, for a plan: the captures that follow from a base that is there, and no
// base older than the last tier is needed for. Only a usable base is relied on for dropping those before it. present: the log is appended to.
func decide(list []base, tiers changes.Tiers, newest, now time.Time, present bool) kept {
	if len(list) == 0 {
		return kept{all: !present}
	}
	end := now.Add(-tiers[len(tiers)-1].Until)
	if !present && newest.Before(end) {
		return kept{all: true}
	}
	k := kept{from: list[len(list)-1].seq}
	for _, b := range list {
		if b.Usable() && b.CreatedAt.Before(end) {
			k.from = max(k.from, b.seq)
			break // the newest of them
		}
	}
	return k
}

// retain removes the points that no base or tier keeps, oldest timelines first.
func (r *Recorder) retain(ctx context.Context, now time.Time) error {
	all, _, err := r.o.Host.Read()
	if err != nil {
		return err
	}
	timelines, err := changes.Timelines(r.o.Dir)
	if err != nil {
		return err
	}
	settings := r.o.Settings()
	var errs []error
	for _, t := range timelines {
		errs = append(errs, r.with(ctx, t, func(l *changes.Log, present bool, turn func(func() error) error) (gone bool, err error) {
			return retainLog(ctx, l, all, t, settings.Tiers, now, present, turn)
		}))
	}
	if settings.MaxBytes > 0 {
		errs = append(errs, r.shrink(ctx, all, timelines, settings, now))
	}
	return errors.Join(errs...)
}

// with calls fn with the log of a timeline. Of the one that is appended to, fn does each step by turn,
// so that captures are made between two; of another one, the log is removed if fn says so.
func (r *Recorder) with(ctx context.Context, timeline uint64, fn func(l *changes.Log, present bool, turn func(func() error) error) (gone bool, err error)) error {
	r.mu.Lock()
	log, present := r.log, r.timeline == timeline
	r.mu.Unlock()
	if present {
		if log == nil {
			return nil
		}
		_, err := fn(log, true, func(step func() error) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.log != log {
				return errMoved
			}
			return step()
		})
		if errors.Is(err, errMoved) {
			return nil
		}
		return err
	}
	dir := r.dir(timeline)
	head, err := headOf(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, changes.ErrDamaged) {
		return nil // nothing is in it; or it is for a person to look at
	}
	if err != nil {
		return err
	}
	l, err := changes.Open(dir, head)
	if errors.Is(err, changes.ErrDamaged) {
		return nil // for a person, too
	}
	if err != nil {
		return err
	}
	gone, err := fn(l, false, func(step func() error) error { return step() })
	if err = errors.Join(err, l.Close()); err == nil && gone {
		err = removeLog(dir)
	}
	return err
}

// retainLog carries out the retention of one log.
func retainLog(ctx context.Context, l *changes.Log, all []catalog.Entry, timeline uint64, tiers changes.Tiers, now time.Time,
	present bool, turn func(func() error) error) (gone bool, err error) {
	var last changes.Capture
	if err := turn(func() (err error) { last, _, err = l.Last(); return err }); err != nil {
		return false, err
	}
	list := stored(all, timeline, l.Head().Base, last.Seq)
	k := decide(list, tiers, last.At, now, present)
	if k.all {
		return true, nil
	}
	if err := turn(func() error { return l.DropBefore(k.from) }); err != nil {
		return false, err
	}
	return false, l.Thin(ctx, changes.Thinning{Before: now.Add(-mergeAfter), Keep: tiers.Keep(now), Bases: seqs(list), Turn: turn})
}

// stored is bases, with those that are not usable: a catalog that was rebuilt knows of no proof.
func stored(all []catalog.Entry, timeline uint64, head string, last uint64) []base {
	return basesIn(all, func(catalog.Entry) bool { return true }, timeline, head, last)
}

// seqs are the captures whose images bases have.
func seqs(list []base) (all []uint64) {
	for _, b := range list {
		all = append(all, b.seq)
	}
	return all
}

// shrink removes points before their time, until the logs have no more than the limit.
func (r *Recorder) shrink(ctx context.Context, all []catalog.Entry, timelines []uint64, s Settings, now time.Time) error {
	before, err := sizeOf(r.o.Dir)
	if err != nil || before <= s.MaxBytes {
		return err
	}
	var errs []error
	over := func() bool {
		n, err := sizeOf(r.o.Dir)
		errs = append(errs, err)
		return err == nil && n > s.MaxBytes
	}
	for _, t := range timelines {
		errs = append(errs, r.with(ctx, t, func(l *changes.Log, present bool, turn func(func() error) error) (gone bool, err error) {
			return shrinkLog(ctx, l, all, t, s.Tiers, now, present, turn, over)
		}))
	}
	after, err := sizeOf(r.o.Dir)
	if after < before && r.shrunk(now) {
		r.o.Host.Report(Event{Kind: Thinned, Message: "recovery points were removed before their time: the change log had more bytes than it may",
			Reason: fmt.Sprintf("%d bytes, %d now, at most %d", before, after, s.MaxBytes)})
	}
	return errors.Join(append(errs, err)...)
}

// shrunk keeps that points went before their time, and reports whether that is news: a log that has reached its limit is
// thinned each time.
func (r *Recorder) shrunk(now time.Time) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = r.keep.shrunk.IsZero() || now.Sub(r.keep.shrunk).Abs() >= newsAfter
	r.keep.shrunk = now
	return news
}

// shrinkLog drops the points before the next base, and the next; at last it keeps fewer of those that are left.
func shrinkLog(ctx context.Context, l *changes.Log, all []catalog.Entry, timeline uint64, tiers changes.Tiers, now time.Time,
	present bool, turn func(func() error) error, over func() bool) (gone bool, err error) {
	var last changes.Capture
	if err := turn(func() (err error) { last, _, err = l.Last(); return err }); err != nil {
		return false, err
	}
	list := stored(all, timeline, l.Head().Base, last.Seq)
	for _, b := range slices.Backward(list) {
		if !over() {
			return false, nil
		}
		if !b.Usable() {
			continue
		}
		if err := turn(func() error { return l.DropBefore(b.seq) }); err != nil {
			return false, err
		}
	}
	if !present {
		return over(), nil
	}
	for n := 1; n <= maxHalvings && over(); n++ {
		fewer := slices.Clone(tiers)
		for i := range fewer {
			fewer[i].Until >>= n
			fewer[i].Every = max(fewer[i].Every, time.Second<<n)
		}
		if err := l.Thin(ctx, changes.Thinning{Before: now, Keep: fewer.Keep(now), Bases: seqs(list), Turn: turn}); err != nil {
			return false, err
		}
	}
	return false, nil
}

// sizeOf is how many bytes all files below dir have.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreMissing(err)
		}
		fi, err := d.Info()
		if err == nil {
			n += fi.Size()
		}
		return ignoreMissing(err)
	})
	return n, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil // sealed or removed meanwhile
	}
	return err
}

// removeLog removes a log's files, the newest first, and its directory: what is left of it after a crash can
// still be read.
func removeLog(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("remove a change log: %w", err)
	}
	for _, e := range slices.Backward(entries) {
		if err := durable.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove a change log: %w", err)
		}
	}
	if err := durable.Remove(dir); err != nil {
		return fmt.Errorf("remove a change log: %w", err)
	}
	return nil
}
