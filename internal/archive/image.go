package archive

import (
	"context"
	"fmt"
	"io"
	"iter"
)

// Image is an image that proves what is read of it by the digests of its pages: a [Reader], or
// the image of a recovery point. ReadAt may be called concurrently.
type Image interface {
	io.ReaderAt
	Shape() Shape
	Seed() Seed // of the page digests
	// Digests hands out the digest of every page; ProveDigests proves that they give Shape().Sum.
	Digests() DigestSource
	ProveDigests() error
	// Unpack writes the image to an empty file, as CopyTo does.
	Unpack(ctx context.Context, to File, o CopyOptions) error
	// Verify proves all that Unpack would.
	Verify(ctx context.Context, o CopyOptions) error
	// ReadPages calls fn with the pages that want yields, in ascending order. fn gets them in any order.
	ReadPages(ctx context.Context, want iter.Seq2[int64, error], o CopyOptions, fn func(pgno int64, page []byte) error) error
	// Fetch is ReadPages, and proves what must be good before these pages replace others.
	Fetch(ctx context.Context, want iter.Seq2[int64, error], o CopyOptions, fn func(pgno int64, page []byte) error) error
	Close() error
}

// Shape is the size of an image, and the sum that names it. PageSize is 0 only for one without pages.
type Shape struct {
	PageSize  int // bytes
	PageCount int64
	Sum       Sum
}

// Bytes is the size of the image.
func (s Shape) Bytes() int64 { return int64(s.PageSize) * s.PageCount }

// File is what an image is unpacked to.
type File interface {
	io.Writer
	io.WriterAt
}

// Shape describes the image.
func (r *Reader) Shape() Shape { return Shape{r.meta.PageSize, r.meta.PageCount, r.info.Sum} }

// Unpack is CopyTo for a file.
func (r *Reader) Unpack(ctx context.Context, to File, o CopyOptions) error {
	return r.CopyTo(ctx, to, o)
}

// Fetch is CopyTo where fn gets only the pages that want yields, in ascending order.
func (r *Reader) Fetch(ctx context.Context, want iter.Seq2[int64, error], o CopyOptions, fn func(pgno int64, page []byte) error) error {
	next, stop := iter.Pull2(want)
	defer stop()
	return r.CopyTo(ctx, &picker{next: next, fn: fn, size: r.meta.PageSize}, o)
}

// picker takes an image by Write, and passes the pages on that next names.
type picker struct {
	next  func() (int64, error, bool)
	fn    func(pgno int64, page []byte) error
	size  int
	pages int64 // taken so far
	pgno  int64 // of the next page to pass on; 0 before the first
	ended bool
}

// Write takes the image's next whole pages.
func (p *picker) Write(image []byte) (int, error) {
	for at := 0; at < len(image); at += p.size {
		p.pages++
		for !p.ended && p.pgno < p.pages {
			pgno, err, more := p.next()
			if err != nil {
				return at, err
			}
			p.pgno, p.ended = pgno, !more
		}
		if !p.ended && p.pgno == p.pages {
			if err := p.fn(p.pgno, image[at:at+p.size]); err != nil {
				return at, err
			}
		}
	}
	return len(image), nil
}

// comparable returns ErrNotComparable where page digests say nothing about each other.
func comparable(a, b Image) error {
	switch {
	case a.Shape().PageCount == 0 || b.Shape().PageCount == 0:
		return nil
	case a.Shape().PageSize != b.Shape().PageSize:
		return fmt.Errorf("%w: pages of %d and of %d bytes", ErrNotComparable, a.Shape().PageSize, b.Shape().PageSize)
	case a.Seed() != b.Seed():
		return fmt.Errorf("%w: they have different seeds, and come from different backup directories", ErrNotComparable)
	}
	return nil
}
