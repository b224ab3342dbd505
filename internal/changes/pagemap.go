package changes

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

// Map says where the newest content of each page that the log has is, at one capture. It is
// made from the indexes alone, and reads the pages when they are asked for. For one goroutine.
type Map struct {
	Capture
	places   map[uint32]place
	segments []*segment
	files    []*os.File
	dec      *seekable.Decoder
	parts    partCache
}

type place struct {
	at      int64  // of the part's index
	segment uint32 // its number in segments
	index   uint32 // among the part's pages
	digest  archive.Digest
}

// Map returns the pages that the captures after one, and up to another one that the log has,
// changed. The first is 0 for all. It is closed by the caller; segments that are thinned meanwhile
// stay readable.
func (l *Log) Map(ctx context.Context, after, upTo uint64) (_ *Map, err error) {
	m := &Map{places: map[uint32]place{}, dec: l.dec, parts: partCache{}}
	defer func() {
		if err != nil {
			m.Close()
			err = fmt.Errorf("map the change log: %w", err)
		}
	}()
	for _, s := range l.sealed {
		if s.last <= after || s.first > upTo {
			continue
		}
		f, err := durable.OpenRegular(filepath.Join(l.dir, s.name), os.O_RDONLY, 0)
		if err != nil {
			return nil, err
		}
		m.files = append(m.files, f)
		fi, err := f.Stat()
		if err != nil {
			return nil, err
		}
		segment, err := openSegment(s.name, f, fi.Size())
		if err != nil {
			return nil, err
		}
		if err := m.add(ctx, segment, l.head, after, upTo); err != nil {
			return nil, err
		}
	}
	if l.open != nil {
		open := *l.open
		if err := m.add(ctx, &open, l.head, after, upTo); err != nil {
			return nil, err
		}
	}
	if m.Seq != upTo {
		return nil, fmt.Errorf("there is no capture %d: %w", upTo, fs.ErrNotExist)
	}
	for pgno := range m.places {
		if int64(pgno) > m.Pages {
			delete(m.places, pgno)
		}
	}
	return m, nil
}

// add puts the pages of a segment's captures over those of the segments before.
func (m *Map) add(ctx context.Context, s *segment, head Head, after, upTo uint64) error {
	if s.head != head {
		return fmt.Errorf("%s: it is of another log", s.name)
	}
	n := uint32(len(m.segments))
	m.segments = append(m.segments, s)
	var pending []*part
	_, err := s.each(s.start, func(p *part) error {
		pending = append(pending, p)
		if p.Capture == nil {
			return nil
		}
		if seq := p.Capture.Seq; seq > after && seq <= upTo {
			for _, p := range pending {
				for i, e := range p.entries {
					m.places[e.pgno] = place{p.from, n, uint32(i), e.digest}
				}
			}
			m.Capture = *p.Capture
		}
		pending = pending[:0]
		return ctx.Err()
	})
	return err
}

// Len is the number of pages that the log has for the capture.
func (m *Map) Len() int { return len(m.places) }

// Digest returns the digest of a page; ok is false where the log does not have it, so that
// it is the base's.
func (m *Map) Digest(pgno uint32) (d archive.Digest, ok bool) {
	p, ok := m.places[pgno]
	return p.digest, ok
}

// Digests yields the number and digest of every page that the log has, in no order.
func (m *Map) Digests() iter.Seq2[uint32, archive.Digest] {
	return func(yield func(uint32, archive.Digest) bool) {
		for pgno, p := range m.places {
			if !yield(pgno, p.digest) {
				return
			}
		}
	}
}

// ReadPage reads the content of a page, proven by its digest; ok is as for Digest.
func (m *Map) ReadPage(pgno uint32, page []byte) (ok bool, err error) {
	p, ok := m.places[pgno]
	if !ok {
		return false, nil
	}
	s := m.segments[p.segment]
	content, err := m.parts.get(partID{p.segment, p.at}, func() ([]byte, error) {
		part, err := readPart(s.r, s.size, s.head.PageSize, p.at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if int(p.index) >= len(part.entries) || part.entries[p.index] != (entry{pgno, p.digest}) {
			return nil, fmt.Errorf("%s: %w: the part at %d changed", s.name, ErrDamaged, p.at)
		}
		return s.pages(m.dec, part)
	})
	if err != nil {
		return true, err
	}
	if len(page) != s.head.PageSize {
		return true, fmt.Errorf("read page %d of the change log: %d bytes were asked for", pgno, len(page))
	}
	copy(page, content[int(p.index)*len(page):])
	return true, nil
}

// Close closes the segments' files.
func (m *Map) Close() error {
	for _, f := range m.files {
		f.Close() // only read
	}
	m.files = nil
	return nil
}

// cachedParts bounds a partCache: parts have up to 1 MiB.
const cachedParts = 8

type partID struct {
	segment uint32
	at      int64
}

// partCache keeps the parts that were decompressed last.
type partCache struct {
	parts []cachedPart // the most recent one last
}

type cachedPart struct {
	id      partID
	content []byte
}

func (c *partCache) get(id partID, load func() ([]byte, error)) ([]byte, error) {
	for i, p := range c.parts {
		if p.id == id {
			c.parts = append(append(c.parts[:i], c.parts[i+1:]...), p)
			return p.content, nil
		}
	}
	content, err := load()
	if err != nil {
		return nil, err
	}
	if len(c.parts) == cachedParts {
		c.parts = append(c.parts[:0], c.parts[1:]...)
	}
	c.parts = append(c.parts, cachedPart{id, content})
	return content, nil
}
