package changes

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"runtime"
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
	parts    []storedPart // in the order in which the log has them
	segments []*segment
	files    []*os.File
	dec      *seekable.Decoder
	back     *[]capturedPages // for a Back: of the captures from backFrom on; else nil
	backFrom uint64

	mu    sync.Mutex // guards cache
	cache partCache
}

type place struct {
	part   uint32 // its number in parts
	index  uint32 // among the frame's pages
	digest archive.Digest
}

// storedPart is where the content of a part is, or of several that share a frame.
type storedPart struct {
	segment uint32 // its number in segments
	bytes   uint32 // of the frame
	at      int64  // of the frame
	pages   int    // of the frame
	first   int    // index of the part's first page
}

// Map returns the pages that the captures after one, and up to another one that the log has,
// changed. The first is 0 for all. It is closed by the caller; segments that are thinned meanwhile
// stay readable.
func (l *Log) Map(ctx context.Context, after, upTo uint64) (*Map, error) {
	m := &Map{places: map[uint32]place{}, dec: l.dec.pages}
	if err := l.readMap(ctx, m, after, upTo); err != nil {
		m.Close()
		return nil, fmt.Errorf("map the change log: %w", err)
	}
	m.within()
	return m, nil
}

// readMap reads what the captures after one and up to another one changed.
func (l *Log) readMap(ctx context.Context, m *Map, after, upTo uint64) error {
	for _, s := range l.sealed {
		if s.Last <= after || s.First > upTo {
			continue
		}
		if err := m.open(l.path(s), s); err != nil {
			return err
		}
	}
	if l.open != nil {
		open := *l.open
		m.segments = append(m.segments, &open)
	}
	if err := m.read(ctx, l.head, after, upTo); err != nil {
		return err
	}
	if m.Seq != upTo {
		return fmt.Errorf("there is no capture %d: %w", upTo, fs.ErrNotExist)
	}
	return nil
}

// open opens a sealed segment, after those that are open.
func (m *Map) open(path string, of Sealed) error {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	m.files = append(m.files, f)
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	s, err := openSegment(of.Name, f, fi.Size())
	if err != nil {
		return err
	}
	s.last = of.Last
	m.segments = append(m.segments, s)
	return nil
}

// within leaves out the pages beyond the end of the capture's image.
func (m *Map) within() {
	for pgno := range m.places {
		if int64(pgno) > m.Pages {
			delete(m.places, pgno)
		}
	}
}

// drop forgets all pages, and closes the first segments.
func (m *Map) drop(segments int) {
	for _, f := range m.files[:segments] {
		f.Close() // only read
	}
	m.files, m.segments = slices.Delete(m.files, 0, segments), slices.Delete(m.segments, 0, segments)
	m.places, m.parts, m.cache = map[uint32]place{}, nil, partCache{}
}

// read reads the indexes of all segments, some at a time, and puts the pages of each over those of the
// segments before.
func (m *Map) read(ctx context.Context, head Head, after, upTo uint64) error {
	workers := runtime.GOMAXPROCS(0)
	for first := 0; first < len(m.segments); first += workers {
		some := make([]changed, min(workers, len(m.segments)-first))
		var wait sync.WaitGroup
		for i := range some {
			wait.Go(func() { some[i] = m.segments[first+i].changed(ctx, head, after, upTo) })
		}
		wait.Wait()
		for i := range some {
			if some[i].err != nil {
				return some[i].err
			}
			m.add(uint32(first+i), some[i])
		}
	}
	return nil
}

// changed is what some captures of a segment changed.
type changed struct {
	parts []*part
	last  *Capture
	err   error
}

// changed reads the indexes of the captures after one and up to another.
func (s *segment) changed(ctx context.Context, head Head, after, upTo uint64) (c changed) {
	if s.head != head {
		return changed{err: fmt.Errorf("%s: it is of another log", s.name)}
	}
	var pending []*part
	_, c.err = s.each(s.start, func(p *part) error {
		pending = append(pending, p)
		if p.Capture == nil {
			return nil
		}
		if seq := p.Capture.Seq; seq > after && seq <= upTo {
			c.parts, c.last = append(c.parts, pending...), p.Capture
		}
		pending = pending[:0]
		return ctx.Err()
	})
	if c.last != nil && c.last.Seq == upTo {
		c.err = nil // what follows is not asked for
	}
	return c
}

func (m *Map) add(segment uint32, c changed) {
	var former []formerPlace // of the pages of a capture; a part of them is
	for _, p := range c.parts {
		f := p.frame()
		f.segment = segment
		if n := len(m.parts); n == 0 || m.parts[n-1].segment != segment || m.parts[n-1].at != f.at {
			m.parts = append(m.parts, f)
		}
		n := uint32(len(m.parts) - 1)
		for i, e := range p.entries {
			if m.back != nil {
				was, had := m.places[e.pgno]
				former = append(former, formerPlace{e.pgno, had, was})
			}
			m.places[e.pgno] = place{n, uint32(f.first + i), e.digest}
		}
		if p.Capture != nil && m.back != nil {
			if p.Capture.Seq >= m.backFrom {
				*m.back = append(*m.back, capturedPages{*p.Capture, former})
			}
			former = nil
		}
	}
	if c.last != nil {
		m.Capture = *c.last
	}
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
	size := m.segments[0].head.PageSize
	if len(page) != size {
		return true, fmt.Errorf("read page %d of the change log: %d bytes were asked for", pgno, len(page))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	content, err := m.cache.get(p.part, func() ([]byte, error) { return m.content(p.part, &partBuffers{}) })
	if err == nil {
		err = m.prove(pgno, content)
	}
	if err != nil {
		return true, err
	}
	copy(page, content[int(p.index)*size:])
	return true, nil
}

// content decompresses a part.
func (m *Map) content(part uint32, b *partBuffers) ([]byte, error) {
	p := m.parts[part]
	return m.segments[p.segment].content(m.dec, p, b)
}

// prove proves a page in the content of its part.
func (m *Map) prove(pgno uint32, content []byte) error {
	p := m.places[pgno]
	part := m.parts[p.part]
	return m.segments[part.segment].provePage(part, int(p.index), entry{pgno, p.digest}, content)
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

// partCache keeps the content of the parts that were decompressed last.
type partCache struct {
	parts []cachedPart // the most recent one last
	bytes int          // of them
}

type cachedPart struct {
	part    uint32
	content []byte
}

func (c *partCache) get(part uint32, load func() ([]byte, error)) ([]byte, error) {
	if i := slices.IndexFunc(c.parts, func(p cachedPart) bool { return p.part == part }); i >= 0 {
		p := c.parts[i]
		c.parts = append(append(c.parts[:i], c.parts[i+1:]...), p)
		return p.content, nil
	}
	content, err := load()
	if err != nil {
		return nil, err
	}
	c.parts, c.bytes = append(c.parts, cachedPart{part, content}), c.bytes+len(content)
	for c.bytes > cachedBytes && len(c.parts) > 1 {
		c.bytes -= len(c.parts[0].content)
		c.parts = append(c.parts[:0], c.parts[1:]...)
	}
	return content, nil
}
