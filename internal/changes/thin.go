package changes

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/internal/durable"
)

// SealedBytes is how large a segment that Thin joins from others becomes, about.
const SealedBytes = 16 << 20

// Captures lists all captures of the log, in order.
func (l *Log) Captures(ctx context.Context) (all []Capture, err error) {
	for _, s := range l.sealed {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := l.with(s, func(s *segment) error {
			list, _, err := s.captures()
			for _, c := range list {
				all = append(all, c.Capture)
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	for _, c := range l.list {
		all = append(all, c.Capture)
	}
	return all, nil
}

// Thin writes segments that were sealed, and whose captures are all older than before, again: without
// the captures that keep does not want, whose pages go to the next one that stays, and several small ones
// as one. The last capture of a new segment stays in any case. The old segments are removed once the new one
// was read back.
func (l *Log) Thin(ctx context.Context, before time.Time, keep func(Capture) bool) error {
	for from := 0; from >= 0; {
		var err error
		if from, err = l.ThinFrom(ctx, from, before, keep); err != nil {
			return err
		}
	}
	return nil
}

// ThinFrom is one step of Thin: it makes one segment of those from a number on. next is the number for the
// next step, negative after the last.
func (l *Log) ThinFrom(ctx context.Context, from int, before time.Time, keep func(Capture) bool) (next int, err error) {
	if from >= len(l.sealed) {
		return -1, nil
	}
	group, unwanted, err := l.group(from, before, keep)
	if err == nil && (group > 1 || unwanted) {
		err = l.join(ctx, from, from+group, keep)
	}
	switch {
	case err != nil:
		return -1, fmt.Errorf("thin the change log: %w", err)
	case group == 0:
		return -1, nil
	}
	return from + 1, nil
}

// group returns how many segments become one, and whether there is a capture among theirs that need not stay.
func (l *Log) group(from int, before time.Time, keep func(Capture) bool) (n int, unwanted bool, err error) {
	var bytes int64
	for _, s := range l.sealed[from:] {
		old, fits := false, false
		err := l.with(s, func(s *segment) error {
			list, err := s.listed()
			if err != nil || len(list) == 0 {
				return err
			}
			old = list[len(list)-1].At().Before(before)
			bytes += s.size
			if fits = n == 0 || bytes <= SealedBytes; old && fits {
				unwanted = unwanted || slices.ContainsFunc(list[:len(list)-1], func(c Listed) bool { return !keep(c.capture()) })
			}
			return nil
		})
		if err != nil || !old || !fits {
			return n, unwanted, err
		}
		n++
	}
	return n, unwanted, nil
}

// join makes one segment of those from one number to before another.
func (l *Log) join(ctx context.Context, from, to int, keep func(Capture) bool) (err error) {
	first, last := l.sealed[from].First, l.sealed[to-1].Last
	source := *l
	source.sealed, source.list, source.open = l.sealed[from:to], nil, nil
	all, err := source.Captures(ctx)
	if err != nil {
		return err
	}
	at := all[len(all)-1].At.UTC().Truncate(time.Second)
	name := sealedName(first, last, at)
	f, err := durable.Create(filepath.Join(l.dir, name), fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if errDiscard := f.Discard(); err == nil {
			err = errDiscard
		}
	}()
	head, err := appendDocument(nil, magicHead, 0, l.head, nil)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	w := &partWriter{w: f, at: int64(len(head)), head: l.head, seed: l.seed, enc: l.enc}
	var list []captured
	after := uint64(0)
	for _, c := range thinned(all, keep) {
		begin := w.at
		if err := source.copyTo(ctx, w, c, after); err != nil {
			return err
		}
		list = append(list, captured{c, begin, w.at})
		after = c.Seq
	}
	s := &segment{name: name, r: f, size: w.at, head: l.head, seed: l.seed, start: int64(len(head))}
	if err := s.prove(l.dec, s.start); err != nil {
		return err
	}
	tail, err := s.appendEnd(list, w.at)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(tail, w.at); err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return err
	}
	old := slices.Clone(l.sealed[from:to])
	l.sealed = slices.Replace(l.sealed, from, to, Sealed{name, first, last, at})
	for _, s := range old {
		if s.Name == name {
			continue // it was replaced
		}
		if err := durable.Remove(l.path(s)); err != nil {
			return err
		}
	}
	return nil
}

// thinned are the captures that stay, each with what it takes over from those before it.
func thinned(all []Capture, keep func(Capture) bool) (stay []Capture) {
	for i := 0; i < len(all); i++ {
		c, counted := all[i], all[i].Commits > 0
		for !keep(all[i]) && i < len(all)-1 {
			i++
			next := all[i]
			counted = counted && next.Commits > 0
			next.From, next.Commits, next.Merged = c.From, next.Commits+c.Commits, next.Merged+c.Merged+1
			c = next
		}
		if !counted {
			c.Commits = 0
		}
		stay = append(stay, c)
	}
	return stay
}

// copyTo writes a capture with the pages of all captures after one and up to it.
func (l *Log) copyTo(ctx context.Context, w *partWriter, c Capture, after uint64) error {
	m, err := l.Map(ctx, after, c.Seq)
	if err != nil {
		return err
	}
	defer m.Close()
	return w.capture(ctx, c, slices.Sorted(maps.Keys(m.places)), func(pgno uint32, page []byte) error {
		_, err := m.ReadPage(pgno, page)
		return err
	})
}
