package rowdiff

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"iter"

	"example.com/snapd/internal/archive"
)

// ComparePages compares the pages of the live state, all of which are read, with the page digests of an image. It is nil where
// those say nothing about each other. liveFirst: the live state is the first one.
func (l *Live) ComparePages(ctx context.Context, image archive.Image, liveFirst bool) (*Pages, error) {
	of := image.Shape()
	if of.PageSize != l.shape.PageSize || of.PageCount == 0 || l.shape.PageCount == 0 {
		return nil, nil
	}
	if err := image.ProveDigests(); err != nil {
		return nil, err
	}
	p := &Pages{From: image, To: l, changed: newPageSet(uint32(max(of.PageCount, l.shape.PageCount)))}
	if liveFirst {
		p.From, p.To = p.To, p.From
	}
	w := &comparer{changed: p.changed, seed: image.Seed(), size: of.PageSize, digests: image.Digests()}
	gather := bufio.NewWriterSize(w, 1<<20)
	err := l.copyTo(ctx, gather)
	if err == nil {
		err = gather.Flush()
	}
	if err != nil {
		return nil, err
	}
	for pgno := l.shape.PageCount + 1; pgno <= of.PageCount; pgno++ {
		p.changed.add(uint32(pgno))
	}
	return p, nil
}

// comparer takes an image in whole pages.
type comparer struct {
	changed pageSet
	seed    archive.Seed
	size    int
	pgno    int64
	digests archive.DigestSource
	left    []byte // digests that were handed out
	ended   bool
}

// Write compares the next pages.
func (c *comparer) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += c.size {
		c.pgno++
		if len(c.left) == 0 && !c.ended {
			var err error
			if c.left, err = c.digests.Next(1 << 14); err != nil {
				return at, err
			}
			c.ended = len(c.left) == 0
		}
		d := archive.PageDigest(c.seed, c.pgno, b[at:at+c.size])
		if c.ended || !bytes.Equal(d[:], c.left[:len(d)]) {
			c.changed.add(uint32(c.pgno))
		}
		if !c.ended {
			c.left = c.left[len(d):]
		}
	}
	return len(b), nil
}

// Shape is the size of the image; its sum is not known.
func (l *Live) Shape() archive.Shape { return l.shape }

// ReadAt reads from the image.
func (l *Live) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read the live database: negative offset")
	}
	size := int64(l.shape.PageSize)
	page := make([]byte, size)
	for n < len(p) {
		at := off + int64(n)
		if at >= l.shape.Bytes() {
			return n, io.EOF
		}
		if err := l.read(uint32(at/size+1), page); err != nil {
			return n, err
		}
		n += copy(p[n:], page[at%size:])
	}
	return n, nil
}

// ReadPages calls fn with the pages that want yields.
func (l *Live) ReadPages(ctx context.Context, want iter.Seq2[int64, error], _ archive.CopyOptions, fn func(pgno int64, page []byte) error) error {
	page := make([]byte, l.shape.PageSize)
	for pgno, err := range want {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = l.read(uint32(pgno), page)
		}
		if err == nil {
			err = fn(pgno, page)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
