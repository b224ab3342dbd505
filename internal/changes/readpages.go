package changes

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/readahead"
)

// ReadPages calls fn with pages that the log has, each proven by its digest, in the order of their places: a
// part is decompressed once, and several are concurrently. page is good until fn returns. Progress
// is not called.
func (m *Map) ReadPages(ctx context.Context, pgnos []uint32, o archive.CopyOptions, fn func(pgno int64, page []byte) error) error {
	sorted := slices.Clone(pgnos)
	slices.SortFunc(sorted, func(a, b uint32) int {
		x, y := m.places[a], m.places[b]
		return cmp.Or(cmp.Compare(x.part, y.part), cmp.Compare(x.index, y.index))
	})
	workers := o.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	fill := func(p *wantedPart) bool { p.pages, sorted = m.samePart(sorted); return len(p.pages) > 0 }
	r := readahead.New(workers, fill, func(p *wantedPart) { p.content, p.err = m.load(p.pages, &p.buffers) })
	defer r.Stop()
	size := m.segments[0].head.PageSize
	for p := r.Next(); p != nil; p = r.Next() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read the change log: %w", err)
		}
		if p.err != nil {
			return p.err
		}
		for _, pgno := range p.pages {
			if err := fn(int64(pgno), p.content[int(m.places[pgno].index)*size:][:size]); err != nil {
				return err
			}
		}
	}
	return nil
}

// wantedPart is a part, and the pages that are wanted of it.
type wantedPart struct {
	pages   []uint32
	buffers partBuffers
	content []byte
	err     error
}

// samePart returns the first of these pages, which are in the order of their places, that are in one part, and the others.
func (m *Map) samePart(pages []uint32) (in, others []uint32) {
	n := 0
	for n < len(pages) && m.places[pages[n]].part == m.places[pages[0]].part {
		n++
	}
	return pages[:n], pages[n:]
}

// load decompresses the part of the pages, and proves those.
func (m *Map) load(pages []uint32, b *partBuffers) ([]byte, error) {
	content, err := m.content(m.places[pages[0]].part, b)
	if err != nil {
		return nil, err
	}
	for _, pgno := range pages {
		if err := m.prove(pgno, content); err != nil {
			return nil, err
		}
	}
	return content, nil
}
