package changes

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/seekable"
)

// Map says where the newest content of each page that the log has is, at one capture. It is
// made from the indexes alone, and reads the pages when they are asked for.
type Map struct {
	Capture
	places   map[uint32]place
	segments []*segment
	files    []*os.File
	dec      *seekable.Decoder

	mu    sync.Mutex // guards parts
	parts partCache
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
	m := &Map{places: map[uint32]place{}, dec: l.dec}
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
		f, err := openFile(filepath.Join(l.dir, s.name), os.O_RDONLY)
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

// ReadPage reads the content of a page, proven by its digest; ok is as for Digest. The parts that were
// read last are kept.
func (m *Map) ReadPage(pgno uint32, page []byte) (ok bool, err error) {
	p, ok := m.places[pgno]
	if !ok {
		return false, nil
	}
	s := m.segments[p.segment]
	if len(page) != s.head.PageSize {
		return true, fmt.Errorf("read page %d of the change log: %d bytes were asked for", pgno, len(page))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.parts.get(partID{p.segment, p.at}, func() (cachedPart, error) {
		part, err := readPart(s.r, s.size, s.head.PageSize, p.at)
		if err != nil {
			return cachedPart{}, fmt.Errorf("%s: %w", s.name, err)
		}
		content, err := s.content(m.dec, part, &partBuffers{})
		return cachedPart{part: part, content: content}, err
	})
	if err != nil {
		return true, err
	}
	if err := m.prove(s, c.part, pgno, c.content); err != nil {
		return true, err
	}
	copy(page, c.content[int(p.index)*len(page):])
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

// cachedBytes bounds a partCache: parts have up to 1 MiB.
const cachedBytes = 8 << 20

type partID struct {
	segment uint32
	at      int64
}

// partCache keeps the parts that were decompressed last.
type partCache struct {
	parts []cachedPart // the most recent one last
	bytes int          // of them
}

type cachedPart struct {
	id      partID
	part    *part
	content []byte
}

func (c *partCache) get(id partID, load func() (cachedPart, error)) (p cachedPart, err error) {
	if i := slices.IndexFunc(c.parts, func(p cachedPart) bool { return p.id == id }); i >= 0 {
		p = c.parts[i]
		c.parts = append(append(c.parts[:i], c.parts[i+1:]...), p)
		return p, nil
	}
	if p, err = load(); err != nil {
		return p, err
	}
	p.id = id
	c.parts, c.bytes = append(c.parts, p), c.bytes+len(p.content)
	for c.bytes > cachedBytes && len(c.parts) > 1 {
		c.bytes -= len(c.parts[0].content)
		c.parts = append(c.parts[:0], c.parts[1:]...)
	}
	return p, nil
}
