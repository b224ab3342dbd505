package changes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"example.com/snapd/internal/archive"
)

// Image is the image at a capture: the base's pages, with the log's over them. It is an [archive.Image],
// and its methods may be called concurrently.
type Image struct {
	base   *archive.Reader
	m      *Map
	shape  archive.Shape
	inBase int64 // pages of the image that the base has
	lent   bool  // of a Back, which closes base and map
}

// NewImage joins a base and the map of the captures after it, and proves by the digests of all
// pages that they belong together: else ErrDamaged. The image's Close closes both.
func NewImage(ctx context.Context, base *archive.Reader, m *Map) (*Image, error) {
	of, head := base.Shape(), m.segments[0].head
	sum, err := archive.ParseSum(m.Pages, m.Sum)
	if err != nil {
		return nil, fmt.Errorf("image of capture %d: %w: %w", m.Seq, ErrDamaged, err)
	}
	i := &Image{base, m, archive.Shape{PageSize: head.PageSize, PageCount: m.Pages, Sum: sum}, min(of.PageCount, m.Pages), false}
	switch proven, err := i.sum(ctx); {
	case err != nil:
		return nil, fmt.Errorf("image of capture %d: %w", m.Seq, err)
	case proven != sum, base.Seed() != m.segments[0].seed, of.PageCount > 0 && of.PageSize != head.PageSize:
		return nil, fmt.Errorf("image of capture %d: %w: it does not follow from this base", m.Seq, ErrDamaged)
	}
	return i, nil
}

// sum adds up the digests of all pages.
func (i *Image) sum(ctx context.Context) (sum archive.Sum, err error) {
	if err := i.base.ProveDigests(); err != nil {
		return sum, err
	}
	for d := i.Digests(); sum.Pages < i.m.Pages; {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		b, err := d.Next(1 << 16)
		if err != nil {
			return sum, err
		}
		for ; len(b) > 0; b = b[digestBytes:] {
			sum.Add(archive.Digest(b))
		}
	}
	return sum, nil
}

// Shape describes the image.
func (i *Image) Shape() archive.Shape { return i.shape }

// Seed is the seed of the page digests.
func (i *Image) Seed() archive.Seed { return i.base.Seed() }

// Capture is the capture whose image it is.
func (i *Image) Capture() Capture { return i.m.Capture }

// Changed is how many pages are the log's, and not the base's.
func (i *Image) Changed() int { return i.m.Len() }

// ProveDigests: NewImage has proven them.
func (i *Image) ProveDigests() error { return nil }

// Close closes base and map.
func (i *Image) Close() error {
	if i.lent {
		return nil
	}
	return errors.Join(i.m.Close(), i.base.Close())
}

// Digests hands out the digest of every page.
func (i *Image) Digests() archive.DigestSource { return &digests{Image: i, base: i.base.Digests()} }

type digests struct {
	*Image
	base  archive.DigestSource
	given int64
	buf   []byte
}

// Next: see archive.DigestSource.
func (d *digests) Next(want int) (b []byte, err error) {
	d.buf = d.buf[:0]
	if d.given < d.inBase {
		b, err = d.base.Next(int(min(int64(want), d.inBase-d.given)))
		if err == nil && len(b) == 0 {
			err = fmt.Errorf("%w: the base has fewer page digests than pages", ErrDamaged)
		}
		if err != nil {
			return nil, err
		}
		d.buf = append(d.buf, b...)
		for at := 0; at < len(d.buf); at += digestBytes {
			d.given++
			if changed, ok := d.m.Digest(uint32(d.given)); ok {
				copy(d.buf[at:], changed[:])
			}
		}
		return d.buf, nil
	}
	for ; want > 0 && d.given < d.m.Pages; want-- {
		d.given++
		changed, ok := d.m.Digest(uint32(d.given))
		if !ok {
			return nil, fmt.Errorf("%w: page %d is missing", ErrDamaged, d.given)
		}
		d.buf = append(d.buf, changed[:]...)
	}
	return d.buf, nil
}

// ReadAt reads from the image as io.ReaderAt says, every page proven by its digest.
func (i *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read image: negative offset %d", off)
	}
	size := int64(i.shape.PageSize)
	page := make([]byte, size)
	for n < len(p) {
		at := off + int64(n)
		if at >= i.shape.Bytes() {
			return n, io.EOF
		}
		within := at % size
		changed, err := i.m.ReadPage(uint32(at/size+1), page)
		if err != nil {
			return n, err
		}
		if changed {
			n += copy(p[n:], page[within:])
			continue
		}
		k := min(int64(len(p)-n), size-within)
		if _, err := i.base.ReadAt(p[n:n+int(k)], at); err != nil {
			return n, err
		}
		n += int(k)
	}
	return n, nil
}

// errEnough ends the reading of a base that is longer than the image.
var errEnough = errors.New("the image ends here")

// Unpack writes the image to an empty file: the base's pages, then the log's over them, so that each part
// of the log is decompressed once. Every page is proven by its digest. Errors: as for the base's CopyTo, and ErrDamaged.
func (i *Image) Unpack(ctx context.Context, to archive.File, o archive.CopyOptions) error {
	return i.unpack(ctx, o, func(b []byte) error {
		_, err := to.Write(b)
		return err
	}, func(pgno int64, page []byte) error {
		_, err := to.WriteAt(page, (pgno-1)*int64(len(page)))
		return err
	})
}

// Verify proves all that Unpack does.
func (i *Image) Verify(ctx context.Context, o archive.CopyOptions) error {
	return i.unpack(ctx, o, func([]byte) error { return nil }, func(int64, []byte) error { return nil })
}

// unpack calls write with the base's part of the image, then page with the log's pages.
func (i *Image) unpack(ctx context.Context, o archive.CopyOptions, write func([]byte) error, page func(int64, []byte) error) error {
	left := i.shape.Bytes()
	err := i.base.Frames(ctx, o, func(frame []byte) error {
		if left == 0 {
			return errEnough
		}
		n := min(left, int64(len(frame)))
		left -= n
		return write(frame[:n])
	})
	if err != nil && err != errEnough {
		return fmt.Errorf("unpack image: %w", err)
	}
	if err := i.m.ReadPages(ctx, i.m.pages(), o, page); err != nil {
		return fmt.Errorf("unpack image: %w", err)
	}
	if o.Progress != nil {
		o.Progress(i.shape.Bytes())
	}
	return nil
}

// ReadPages calls fn with the pages that want yields, in ascending order, each proven by its digest: the
// base's, then the log's in the order in which the log has them.
func (i *Image) ReadPages(ctx context.Context, want iter.Seq2[int64, error], o archive.CopyOptions, fn func(pgno int64, page []byte) error) error {
	var logged []uint32
	err := i.base.ReadPages(ctx, func(yield func(int64, error) bool) {
		for pgno, err := range want {
			if err == nil && pgno > i.m.Pages {
				err = fmt.Errorf("read pages: page %d of %d", pgno, i.m.Pages)
			}
			if _, ok := i.m.Digest(uint32(pgno)); ok && err == nil {
				logged = append(logged, uint32(pgno))
			} else if !yield(pgno, err) {
				return
			}
		}
	}, o, fn)
	if err != nil {
		return err
	}
	return i.m.ReadPages(ctx, logged, o, fn)
}

// Fetch is ReadPages: the other pages are not needed.
func (i *Image) Fetch(ctx context.Context, want iter.Seq2[int64, error], o archive.CopyOptions, fn func(pgno int64, page []byte) error) error {
	return i.ReadPages(ctx, want, o, fn)
}

// pages are the numbers of the pages that the log has.
func (m *Map) pages() []uint32 {
	all := make([]uint32, 0, len(m.places))
	for pgno := range m.places {
		all = append(all, pgno)
	}
	slices.Sort(all)
	return all
}
