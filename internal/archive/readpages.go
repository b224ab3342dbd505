package archive

import (
	"context"
	"fmt"
	"iter"
)

// ReadPages calls fn with the pages of the image that want yields, in ascending order, each
// proven by its digest; page is good until fn returns. An error that want yields ends it. A
// frame is decompressed only when a page of it is wanted, then once, and several are
// decompressed concurrently. It holds Workers+2 frames. Progress is not called.
// Errors: as for CopyTo, and fn's.
func (r *Reader) ReadPages(ctx context.Context, want iter.Seq2[int64, error], o CopyOptions, fn func(pgno int64, page []byte) error) error {
	if err := r.ProveDigests(); err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	next, stop := iter.Pull2(want)
	defer stop()
	s := selection{r: r, next: next}
	s.advance()
	p := r.startDecoding(o.workers(), s.fill, r.decodeWanted)
	defer p.Stop()
	for f := p.Next(); f != nil; f = p.Next() {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("read pages: %w", err)
		}
		if f.err != nil {
			return f.err
		}
		if err := r.comparePages(r.digestsOf(f.id), f.id, f.digests); err != nil {
			return err
		}
		first := r.firstPage(f.id) + 1
		for _, pgno := range f.wanted {
			at := int(pgno-first) * r.meta.PageSize
			if err := fn(pgno, f.image[at:at+r.meta.PageSize]); err != nil {
				return err
			}
		}
	}
	return s.err
}

// decodeWanted loads f up to its last wanted page, and makes the digests of the pages until there.
func (r *Reader) decodeWanted(f *decodedFrame) error {
	if err := f.read(r, f.id); err != nil {
		return err
	}
	upTo := (f.wanted[len(f.wanted)-1] - r.firstPage(f.id)) * int64(r.meta.PageSize)
	if upTo > r.meta.frameImageBytes(f.id)*3/4 { // which is faster as a whole
		return f.decompress(r)
	}
	image, err := f.decodePrefix(r, f.id, int(upTo))
	if err == nil {
		f.digests = appendPageDigests(f.digests[:0], r.seed, r.firstPage(f.id)+1, image, r.meta.PageSize)
	}
	return err
}

// selection deals wanted pages out by frame.
type selection struct {
	r    *Reader
	next func() (int64, error, bool)
	pgno int64 // the next wanted page; 0 when there is none
	err  error
}

// advance takes the next wanted page.
func (s *selection) advance() {
	last := s.pgno
	pgno, err, more := s.next()
	switch {
	case !more:
		pgno = 0
	case err == nil && (pgno <= last || pgno > s.r.meta.PageCount):
		err = fmt.Errorf("read pages: page %d after page %d of %d", pgno, last, s.r.meta.PageCount)
	}
	if s.pgno = pgno; err != nil {
		s.pgno, s.err = 0, err
	}
}

// fill gives f the next frame with a wanted page.
func (s *selection) fill(f *decodedFrame) bool {
	if s.pgno == 0 {
		return false
	}
	f.id = (s.pgno - 1) * int64(s.r.meta.PageSize) / int64(s.r.meta.FrameBytes)
	f.wanted = f.wanted[:0]
	for last := s.r.firstPage(f.id + 1); s.pgno != 0 && s.pgno <= last; {
		f.wanted = append(f.wanted, s.pgno)
		s.advance()
	}
	return true
}
