package changes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// SealedBytes is how large a segment that is merged from others becomes, about.
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

// Thinning says what Thin does.
type Thinning struct {
	Before time.Time          // of segments whose captures are all older
	Keep   func(Capture) bool // captures that stay
	// Bases are captures whose images backups have. What comes up to one is not merged with what follows it: DropBefore can
	// remove the one and keep the other.
	Bases []uint64
	// Turn carries out what needs the log to itself, in short steps: between two of them the log may be appended to and sealed.
	// An error of it ends Thin. nil carries out all at once.
	Turn func(step func() error) error
}

// Thin merges small sealed segments that follow each other, without the captures that need not stay, whose pages go to the
// next one that stays. The last capture of a new segment stays in any case. The old segments are removed once the new one was
// read back. Damage of one segment is an error, and no reason not to go on with the others.
func (l *Log) Thin(ctx context.Context, o Thinning) error {
	turn := o.Turn
	if turn == nil {
		turn = func(step func() error) error { return step() }
	}
	var damage error
	for from, more := 0, true; more; from++ {
		var m *merge
		err := turn(func() (err error) {
			m, more, err = l.nextMerge(from, o)
			return err
		})
		if err == nil && m != nil {
			err = m.write(ctx)
			if err == nil {
				err = turn(func() error { return l.take(m) })
			}
			err = errors.Join(err, m.discard())
		}
		if errors.Is(err, ErrDamaged) {
			damage, err = errors.Join(damage, err), nil
			if m != nil {
				from += len(m.of) - 1
			}
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return fmt.Errorf("thin the change log: %w", err)
		}
	}
	if damage != nil {
		return fmt.Errorf("thin the change log: %w", damage)
	}
	return nil
}

// nextMerge returns the merge of the segments from a number on; nil where the first of them stays as it is. more is false after the last.
func (l *Log) nextMerge(from int, o Thinning) (m *merge, more bool, err error) {
	if from >= len(l.sealed) {
		return nil, false, nil
	}
	g, err := l.group(from, o)
	if err != nil || g.segments == 0 {
		return nil, errors.Is(err, ErrDamaged), err
	}
	if g.segments > 1 || g.unwanted {
		m = newMerge(l, l.sealed[from:from+g.segments], o.Keep)
	}
	return m, true, nil
}

// group is segments that may become one.
type group struct {
	segments int
	unwanted bool // there is a capture among theirs that need not stay
}

// group returns the segments from a number on that are to become one, 0 for none. A segment that is larger than all those
// after it together is left alone, unless captures of its own go: so the bytes of a log that grows are written again a few
// times, and not with each merge.
func (l *Log) group(from int, o Thinning) (g group, err error) {
	var first, bytes int64
	alone := group{}
	for _, of := range l.sealed[from:] {
		old, unwanted, size := false, false, int64(0)
		err := l.with(of, func(s *segment) error {
			list, err := s.listed()
			if err != nil || len(list) == 0 {
				return err
			}
			size, old = s.size, list[len(list)-1].At().Before(o.Before)
			unwanted = slices.ContainsFunc(list[:len(list)-1], func(c Listed) bool { return !o.Keep(c.capture()) })
			return nil
		})
		if err != nil {
			return group{}, err
		}
		if !old || g.segments > 0 && (bytes+size > SealedBytes || apart(l.sealed[from+g.segments-1], of, o.Bases)) {
			break
		}
		bytes += size
		g = group{g.segments + 1, g.unwanted || unwanted}
		if g.segments == 1 {
			first, alone = size, g
		}
	}
	if first > bytes-first && !alone.unwanted {
		return alone, nil
	}
	return g, nil
}

// apart reports whether a base comes between the ends of two segments that follow each other.
func apart(a, b Sealed, bases []uint64) bool {
	return slices.ContainsFunc(bases, func(seq uint64) bool { return a.Last <= seq && seq < b.Last })
}
