package changes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"example.com/snapd/internal/archive"
)

// Back goes from the image at a capture back to those at the captures before it, over one base. Each is proven by its sum, which follows from
// the sum of the one after it by the pages that changed between the two: a step costs what changed.
//
//	base ── … ── 40 ── 41 ── 42        Newest is the image at 42; Older is that at 41, with the pages that 42 changed, then that at 40
//
// It is for one goroutine.
type Back struct {
	base    *archive.Reader
	digests []byte // of the base's pages
	m       *Map   // has the files
	steps   []capturedPages
	at      int     // the image returned last is at steps[at]
	views   [2]*Map // at steps[at], and the one that it steps back to
	sum     archive.Sum
}

// capturedPages are the pages that a capture changed, with their places before it.
type capturedPages struct {
	Capture
	pages []formerPlace
}

type formerPlace struct {
	pgno  uint32
	had   bool // else the base's page was there, or none
	place place
}

// maxBackPages bounds the pages of a base, whose digests are in memory: 64 MiB of them.
const maxBackPages = 4 << 20

// ErrNoBack: there is no Back over this base.
var ErrNoBack = errors.New("the images cannot be stepped through")

// Back returns the images from one capture back to another one, over a base that has the changes up to after. Close closes both. The view is
// closed after it.
func (v *View) Back(ctx context.Context, base *archive.Reader, after, from, upTo uint64) (_ *Back, err error) {
	b := &Back{base: base}
	if base.Shape().PageCount > maxBackPages || after >= from {
		return nil, ErrNoBack
	}
	err = v.again(ctx, func() error {
		b.m, err = v.log.mapBack(ctx, after, from, upTo)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err = b.start(ctx, from); err != nil {
		return nil, errors.Join(err, b.m.Close())
	}
	return b, nil
}

// mapBack is Map that remembers what the captures from one on changed.
func (l *Log) mapBack(ctx context.Context, after, from, upTo uint64) (*Map, error) {
	m := &Map{places: map[uint32]place{}, dec: l.dec.pages, back: &[]capturedPages{}, backFrom: from}
	if err := l.readMap(ctx, m, after, upTo); err != nil {
		return nil, errors.Join(fmt.Errorf("map the change log: %w", err), m.Close())
	}
	return m, nil
}

func (b *Back) start(ctx context.Context, from uint64) error {
	b.steps, b.m.back = *b.m.back, nil
	b.at = len(b.steps) - 1
	if b.at < 0 || b.steps[0].Seq != from {
		return fmt.Errorf("there is no capture %d: %w", from, fs.ErrNotExist)
	}
	if err := b.base.ProveDigests(); err != nil {
		return err
	}
	b.digests = make([]byte, 0, int(b.base.Shape().PageCount)*digestBytes)
	for d := b.base.Digests(); ; {
		some, err := d.Next(1 << 16)
		if err != nil {
			return err
		}
		if b.digests = append(b.digests, some...); len(some) == 0 {
			break
		}
	}
	b.views[0] = &Map{Capture: b.steps[b.at].Capture, places: b.m.places, parts: b.m.parts, segments: b.m.segments, dec: b.m.dec}
	b.views[1] = &Map{places: maps.Clone(b.m.places), parts: b.m.parts, segments: b.m.segments, dec: b.m.dec}
	newest, err := NewImage(ctx, b.base, b.views[0])
	if err != nil {
		return err
	}
	b.sum = newest.shape.Sum
	return nil
}

// Newest is the image at the newest capture.
func (b *Back) Newest() *Image { return b.image(b.views[0]) }

// Older returns the image at the capture before, and the pages in which it may differ from the one returned last; nil after the oldest. An image
// is good until the second call after the one that returned it. Errors: ErrDamaged.
func (b *Back) Older() (*Image, []uint32, error) {
	if b.at == 0 {
		return nil, nil, nil
	}
	now, was := b.steps[b.at], b.steps[b.at-1].Capture
	changed := map[uint32]bool{}
	for _, p := range now.pages {
		if err := b.subtract(p, now.Pages, was.Pages); err != nil {
			return nil, nil, fmt.Errorf("image of capture %d: %w", was.Seq, err)
		}
		changed[p.pgno] = true
	}
	for pgno := now.Pages + 1; pgno <= was.Pages; pgno++ { // which the newer capture cut off
		if changed[uint32(pgno)] {
			continue
		}
		d, ok := b.digest(b.views[0], uint32(pgno))
		if !ok {
			return nil, nil, fmt.Errorf("image of capture %d: %w: page %d is missing", was.Seq, ErrDamaged, pgno)
		}
		b.sum.Add(d)
		changed[uint32(pgno)] = true
	}
	want, err := archive.ParseSum(was.Pages, was.Sum)
	if err != nil || want != b.sum {
		return nil, nil, fmt.Errorf("image of capture %d: %w: it does not follow from capture %d", was.Seq, ErrDamaged, now.Seq)
	}
	older := b.views[1]
	if b.at+1 < len(b.steps) {
		older.undo(b.steps[b.at+1].pages)
	}
	older.undo(now.pages)
	older.Capture = was
	b.at--
	b.views[0], b.views[1] = older, b.views[0]
	return b.image(older), slices.Sorted(maps.Keys(changed)), nil
}

// subtract takes a page that the newer capture changed out of the sum, and adds what it was.
func (b *Back) subtract(p formerPlace, now, was int64) error {
	if int64(p.pgno) <= now {
		d, _ := b.digest(b.views[0], p.pgno)
		b.sum.Sub(d)
	}
	if int64(p.pgno) > was {
		return nil
	}
	d := p.place.digest
	if at := int(p.pgno-1) * digestBytes; !p.had && at < len(b.digests) {
		d = archive.Digest(b.digests[at:])
	} else if !p.had {
		return fmt.Errorf("%w: page %d is missing", ErrDamaged, p.pgno)
	}
	b.sum.Add(d)
	return nil
}

func (b *Back) digest(m *Map, pgno uint32) (archive.Digest, bool) {
	if d, ok := m.Digest(pgno); ok {
		return d, true
	}
	at := int(pgno-1) * digestBytes
	if at >= len(b.digests) {
		return archive.Digest{}, false
	}
	return archive.Digest(b.digests[at:]), true
}

// undo makes the places what they were before a capture.
func (m *Map) undo(pages []formerPlace) {
	for _, p := range slices.Backward(pages) {
		if p.had {
			m.places[p.pgno] = p.place
		} else {
			delete(m.places, p.pgno)
		}
	}
}

func (b *Back) image(m *Map) *Image {
	sum := b.sum
	return &Image{base: b.base, m: m, shape: archive.Shape{PageSize: b.base.Shape().PageSize, PageCount: m.Pages, Sum: sum},
		inBase: min(b.base.Shape().PageCount, m.Pages), lent: true}
}

// Close closes the log's files and the base.
func (b *Back) Close() error { return errors.Join(b.m.Close(), b.base.Close()) }
