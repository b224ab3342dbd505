package changes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

// merge makes one segment of several sealed ones that follow each other. It reads them once, from front to back, and
// holds the places of the pages of captures that go, until the next one that stays:
//
//	capture   1     2     3     4        1, 2 and 4 stay
//	          │     │     └──┬──┘
//	          ▼     ▼        ▼
//	       its pages         the newest copy of each page
//
// All pages are compressed again, those of captures that follow each other together: see packer.
type merge struct {
	dir  string
	head Head
	seed archive.Seed
	of   []Sealed
	keep func(Capture) bool

	made Sealed
	file *durable.File
	to   *packer

	waiting *Capture // goes, with those before it that go; nil for none
	pages   *Map     // theirs
}

func newMerge(l *Log, of []Sealed, keep func(Capture) bool) *merge {
	m := &merge{dir: l.dir, head: l.head, seed: l.seed, of: slices.Clone(of), keep: keep}
	m.made = Sealed{First: of[0].First, Last: of[len(of)-1].Last, At: of[len(of)-1].At}
	m.made.Name = sealedName(m.made.First, m.made.Last, m.made.At)
	return m
}

// write writes the new segment to a temporary file, and proves it. The log may be appended to and sealed meanwhile.
func (m *merge) write(ctx context.Context) (err error) {
	if m.file, err = durable.Create(filepath.Join(m.dir, m.made.Name), fileMode); err != nil {
		return err
	}
	m.pages = &Map{places: map[uint32]place{}}
	defer m.pages.Close()
	if m.pages.dec, err = seekable.NewDecoder(); err != nil {
		return err
	}
	defer m.pages.dec.Close()
	enc, err := seekable.NewEncoder(seekable.Fastest, partBytes)
	if err != nil {
		return err
	}
	head, err := appendDocument(nil, magicHead, 0, m.head, nil)
	if err != nil {
		return err
	}
	if _, err := m.file.WriteAt(head, 0); err != nil {
		return err
	}
	m.to = &packer{w: &partWriter{w: m.file, at: int64(len(head)), head: m.head, seed: m.seed, enc: enc}}
	for _, s := range m.of {
		if err := m.segment(ctx, s); err != nil {
			return err
		}
	}
	if err := m.to.flush(); err != nil {
		return err
	}
	return m.finish(ctx, int64(len(head)))
}

// finish proves what was written, and ends it.
func (m *merge) finish(ctx context.Context, start int64) error {
	s := &segment{name: m.made.Name, r: m.file, size: m.to.w.at, head: m.head, seed: m.seed, start: start, last: m.made.Last}
	if _, err := s.prove(ctx, m.pages.dec, start); err != nil {
		return err
	}
	tail, err := s.appendEnd(m.to.list, m.to.w.at)
	if err != nil {
		return err
	}
	if _, err := m.file.WriteAt(tail, m.to.w.at); err != nil {
		return err
	}
	return m.file.Sync()
}

// segment takes the captures of a segment.
func (m *merge) segment(ctx context.Context, of Sealed) error {
	if m.waiting == nil { // nothing of the segments before is needed
		m.pages.drop(len(m.pages.segments))
	}
	if err := m.pages.open(filepath.Join(m.dir, of.Name), of); err != nil {
		return err
	}
	s := m.pages.segments[len(m.pages.segments)-1]
	if s.head != m.head {
		return fmt.Errorf("%s: it is of another log", s.name)
	}
	var parts []*part
	var b partBuffers
	_, err := s.each(s.start, func(p *part) error {
		parts = append(parts, p)
		if p.Capture == nil {
			return nil
		}
		err := m.capture(ctx, s, parts, &b)
		parts = nil
		return errors.Join(err, ctx.Err())
	})
	return err
}

// capture takes a capture, whose parts are in the segment that was opened last.
func (m *merge) capture(ctx context.Context, s *segment, parts []*part, b *partBuffers) error {
	c := *parts[len(parts)-1].Capture
	stays := m.keep(c)
	if c.Seq == m.made.Last {
		stays = true
	} else {
		c.Source = nil // is for the one who goes on from a log's end
	}
	if m.waiting == nil && stays {
		for _, p := range parts {
			if err := cmp.Or(ctx.Err(), s.provePart(m.pages.dec, p, b, m.to.page)); err != nil {
				return err
			}
		}
		m.to.end(c)
		return nil
	}
	if m.waiting != nil {
		c = merged(*m.waiting, c)
	}
	m.pages.add(uint32(len(m.pages.segments)-1), changed{parts: parts, last: &c})
	if m.waiting = &c; !stays {
		return nil
	}
	m.waiting = nil
	return m.gathered(ctx, c)
}

// gathered writes a capture with the pages of those that went before it.
func (m *merge) gathered(ctx context.Context, c Capture) error {
	m.pages.within()
	page := make([]byte, m.head.PageSize)
	for _, pgno := range slices.Sorted(maps.Keys(m.pages.places)) {
		_, err := m.pages.ReadPage(pgno, page)
		if err == nil {
			err = m.to.page(entry{pgno, m.pages.places[pgno].digest}, page)
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
	m.to.end(c)
	m.pages.drop(len(m.pages.segments) - 1)
	return nil
}

// merged is a capture that takes over the one before it, which goes.
func merged(before, c Capture) Capture {
	c.From, c.Merged = before.From, c.Merged+before.Merged+1
	if before.Commits > 0 && c.Commits > 0 {
		c.Commits += before.Commits
	} else {
		c.Commits = 0 // some were not counted
	}
	return c
}

// discard removes what was written and not taken.
func (m *merge) discard() error {
	if m.file == nil {
		return nil
	}
	return m.file.Discard()
}

// take has the segment that a merge wrote take the place of those that it was made of.
func (l *Log) take(m *merge) error {
	at := slices.Index(l.sealed, m.of[0])
	if at < 0 || len(l.sealed)-at < len(m.of) || !slices.Equal(l.sealed[at:][:len(m.of)], m.of) {
		return errors.New("the segments changed meanwhile")
	}
	if err := m.file.Commit(); err != nil {
		return err
	}
	l.sealed = slices.Replace(l.sealed, at, at+len(m.of), m.made)
	for _, s := range m.of {
		if s.Name == m.made.Name {
			continue // it was replaced
		}
		if err := durable.Remove(l.path(s)); err != nil {
			return err
		}
	}
	return nil
}
