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
	wanted := m.inOrder(pgnos)
	workers := o.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	fill := func(p *wantedPart) bool { p.pages, wanted = samePart(wanted); return len(p.pages) > 0 }
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
		for _, w := range p.pages {
			if err := fn(int64(w.pgno), p.content[int(w.index)*size:][:size]); err != nil {
				return err
			}
		}
	}
	return nil
}

// wantedPart is a part, and the pages that are wanted of it.
type wantedPart struct {
	pages   []wantedPage
	buffers partBuffers
	content []byte
	err     error
}

// wantedPage is a page and its place.
type wantedPage struct{ part, index, pgno uint32 }

// inOrder returns pages in the order of their places.
func (m *Map) inOrder(pgnos []uint32) []wantedPage {
	pages := make([]wantedPage, len(pgnos))
	for i, pgno := range pgnos {
		p := m.places[pgno]
		pages[i] = wantedPage{p.part, p.index, pgno}
	}
	slices.SortFunc(pages, func(a, b wantedPage) int {
		return cmp.Compare(uint64(a.part)<<32|uint64(a.index), uint64(b.part)<<32|uint64(b.index))
	})
	return pages
}

// samePart returns the first of these pages, which are in the order of their places, that are in one part, and the others.
func samePart(pages []wantedPage) (in, others []wantedPage) {
	n := 0
	for n < len(pages) && pages[n].part == pages[0].part {
		n++
	}
	return pages[:n], pages[n:]
}

// load decompresses the part of the pages, and proves those.
func (m *Map) load(pages []wantedPage, b *partBuffers) ([]byte, error) {
	content, err := m.content(pages[0].part, b)
	if err != nil {
		return nil, err
	}
	for _, w := range pages {
		if err := m.prove(w.pgno, content); err != nil {
			return nil, err
		}
	}
	return content, nil
}
