package changes

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/internal/archive"
)

// Image is the image at a capture: the base's pages, with the log's over them. Its methods are
// for one goroutine.
type Image struct {
	base *archive.Reader
	m    *Map
	size int64 // of a page
}

// NewImage joins a base and the map of the captures after it, and proves by the digests of all
// pages that they belong together: else ErrDamaged. Both stay open for as long as it is used.
func NewImage(ctx context.Context, base *archive.Reader, m *Map) (*Image, error) {
	i := &Image{base: base, m: m, size: int64(base.Info().PageSize)}
	var sum archive.Sum
	inBase := min(base.Info().PageCount, m.Pages)
	err := base.PageDigests(ctx, func(pgno int64, d archive.Digest) error {
		if pgno > inBase {
			return nil
		}
		if changed, ok := m.Digest(uint32(pgno)); ok {
			d = changed
		}
		sum.Add(d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("image of capture %d: %w", m.Seq, err)
	}
	for pgno := inBase + 1; pgno <= m.Pages; pgno++ {
		if d, ok := m.Digest(uint32(pgno)); ok {
			sum.Add(d)
		}
	}
	if sum.Pages != m.Pages || sum.Digits() != m.Sum {
		return nil, fmt.Errorf("image of capture %d: %w: it does not follow from this base", m.Seq, ErrDamaged)
	}
	return i, nil
}

// Bytes is the size of the image.
func (i *Image) Bytes() int64 { return i.m.Pages * i.size }

// ReadAt reads from the image as io.ReaderAt says, every page proven by its digest.
func (i *Image) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read image: negative offset %d", off)
	}
	page := make([]byte, i.size)
	for n < len(p) {
		at := off + int64(n)
		if at >= i.Bytes() {
			return n, io.EOF
		}
		within := at % i.size
		changed, err := i.m.ReadPage(uint32(at/i.size+1), page)
		if err != nil {
			return n, err
		}
		if changed {
			n += copy(p[n:], page[within:])
			continue
		}
		k := min(int64(len(p)-n), i.size-within)
		if _, err := i.base.ReadAt(p[n:n+int(k)], at); err != nil {
			return n, err
		}
		n += int(k)
	}
	return n, nil
}

// errEnough ends the copy of a base that is longer than the image.
var errEnough = errors.New("the image ends here")

// CopyTo writes the image to w in order, every page proven by its digest. Errors: as for the
// base's CopyTo, and ErrDamaged.
func (i *Image) CopyTo(ctx context.Context, w io.Writer, o archive.CopyOptions) error {
	over := &overlay{Image: i, w: w}
	if err := i.base.CopyTo(ctx, over, o); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	page := make([]byte, i.size)
	for over.pages < i.m.Pages {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := i.m.ReadPage(uint32(over.pages+1), page); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%w: page %d is missing", ErrDamaged, over.pages+1))
		}
		if _, err := w.Write(page); err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		over.pages++
	}
	return nil
}

// overlay passes a base on, with the log's pages instead of its own.
type overlay struct {
	*Image
	w     io.Writer
	pages int64
	buf   []byte
}

// Write takes the base's next whole pages.
func (o *overlay) Write(b []byte) (int, error) {
	o.buf = append(o.buf[:0], b...)
	end := int64(0)
	for ; end < int64(len(b)) && o.pages < o.m.Pages; end += o.size {
		o.pages++
		if _, err := o.m.ReadPage(uint32(o.pages), o.buf[end:end+o.size]); err != nil {
			return 0, err
		}
	}
	if _, err := o.w.Write(o.buf[:end]); err != nil {
		return 0, err
	}
	if end < int64(len(b)) {
		return 0, errEnough
	}
	return len(b), nil
}
