package pages

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"example.com/snapd/internal/durable"
)

// differencesBuffer is how much of the differences is written or read at once.
const differencesBuffer = 256 << 10

// pgnoBytes are before each page that is kept.
const pgnoBytes = 8

// Differences are an image's page 1 and those of its other pages that are not what a
// state of the database has, in a private file.
type Differences struct {
	pageSize int
	pages    int64 // of the image
	file     *durable.ScratchFile
	bytes    int64
	newHash  func() hash.Hash
	sum      []byte // of the file
}

// Close removes the file. It may be called twice, and of nil.
func (d *Differences) Close() error {
	if d == nil {
		return nil
	}
	return d.file.Close()
}

// Comparison takes an image by Write, compares it with a state of the database, and
// keeps the Differences.
type Comparison struct {
	d     Differences
	live  io.Reader // the state's pages in order
	ended bool      // there are no more of them
	next  int64     // the next page's number
	buf   []byte
	out   []byte // not yet written
	limit int64
	hash  hash.Hash
	over  bool // they are more than limit, or more than there is room for
}

// NewComparison makes a private file in dir. Live is read to its end, or that of the
// image; more than limit bytes of differences are not kept. By newHash what is read back
// of the file is proven.
func NewComparison(dir string, live io.Reader, pageSize int, limit int64, newHash func() hash.Hash) (*Comparison, error) {
	f, err := durable.Scratch(dir, "differences")
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	f.Unlink()
	return &Comparison{d: Differences{pageSize: pageSize, file: f, newHash: newHash}, live: live, next: 1, limit: limit, hash: newHash()}, nil
}

// Write takes the image's next whole pages. An error is that of reading the state.
func (c *Comparison) Write(image []byte) (int, error) {
	size := c.d.pageSize
	if len(image)%size != 0 {
		return 0, fmt.Errorf("compare: %d bytes of image are not whole pages of %d", len(image), size)
	}
	c.buf = slices.Grow(c.buf[:0], len(image))[:len(image)]
	n := 0
	if !c.ended {
		var err error
		n, err = io.ReadFull(c.live, c.buf)
		if c.ended = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); err != nil && !c.ended {
			return 0, fmt.Errorf("compare: %w", err)
		}
	}
	live := c.buf[:n]
	if c.next > 1 && bytes.Equal(live, image) {
		c.next += int64(len(image) / size)
		return len(image), nil
	}
	for at := 0; at < len(image); at, c.next = at+size, c.next+1 {
		page := image[at : at+size]
		if at+size > len(live) || c.next == 1 || !bytes.Equal(live[at:at+size], page) {
			c.keep(page)
		}
	}
	return len(image), nil
}

// keep writes one page down, as long as that is worth while.
func (c *Comparison) keep(page []byte) {
	if c.over || c.next == lockPage(c.d.pageSize) {
		return
	}
	c.out = append(binary.BigEndian.AppendUint64(c.out, uint64(c.next)), page...)
	if len(c.out) >= differencesBuffer {
		c.flush()
	}
}

func (c *Comparison) flush() {
	c.d.bytes += int64(len(c.out))
	c.hash.Write(c.out)
	if c.d.bytes <= c.limit {
		_, err := c.d.file.Write(c.out)
		c.over = err != nil // without room for them the image is read once more instead
	} else {
		c.over = true
	}
	c.out = c.out[:0]
}

// Finish returns the differences after the whole image was written, for the caller to
// close; nil where they were not kept.
func (c *Comparison) Finish() *Differences {
	c.flush()
	if c.over {
		return nil
	}
	c.d.sum = c.hash.Sum(nil)
	c.d.pages = c.next - 1
	d := c.d
	c.d.file = nil
	return &d
}

// Close removes the file of what Finish has not given away.
func (c *Comparison) Close() error {
	if c.d.file == nil {
		return nil
	}
	return c.d.file.Close()
}

// ReplaceBy is Replace by the differences of the image from the state that t replaces:
// that it is that state is the caller's to know, by Still. Errors are Replace's, of which a
// file that does not give back what was written to it is one more.
func (t *WriteTx) ReplaceBy(ctx context.Context, d *Differences, progress func(done int64)) (written int64, err error) {
	k := &known{d: d, in: bufio.NewReaderSize(io.NewSectionReader(d.file, 0, d.bytes), differencesBuffer),
		hash: d.newHash(), record: make([]byte, pgnoBytes+d.pageSize)}
	pgno, first, err := k.next()
	if err == nil && pgno != 1 {
		err = fmt.Errorf("the differences begin with page %d", pgno)
	}
	if err != nil {
		return 0, fmt.Errorf("replace %s: %w", t.path, err)
	}
	return t.replace(ctx, bytes.Clone(first), d.pageSize, d.pages, progress, k.rest)
}

// known reads differences.
type known struct {
	d      *Differences
	in     io.Reader
	hash   hash.Hash
	record []byte
	last   int64 // the page before
}

// next returns the next page, which is good until the call after; io.EOF after the last.
func (k *known) next() (pgno int64, page []byte, err error) {
	if _, err := io.ReadFull(k.in, k.record); err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read the differences: %w", err)
		}
		return 0, nil, err
	}
	k.hash.Write(k.record)
	pgno = int64(binary.BigEndian.Uint64(k.record))
	if pgno <= k.last || pgno > k.d.pages {
		return 0, nil, fmt.Errorf("read the differences: page %d after page %d of %d", pgno, k.last, k.d.pages)
	}
	k.last = pgno
	return pgno, k.record[pgnoBytes:], nil
}

// rest writes them all, and proves that they were what was written down.
func (k *known) rest(ctx context.Context, r *replacement) error {
	for n := 1; ; n++ {
		if n%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.tell(k.last)
		}
		pgno, page, err := k.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := r.write(ctx, pgno, page); err != nil {
			return err
		}
	}
	if !bytes.Equal(k.hash.Sum(nil), k.d.sum) {
		return errors.New("the differences that were written down are not what is read back")
	}
	r.tell(r.pages)
	return ctx.Err()
}
