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
	"example.com/snapd/internal/sqlite"
)

// differencesBuffer is how much of the differences is written or read at once.
const differencesBuffer = 256 << 10

// maxPieces bounds the digests that are kept of an image's pieces: 64 GiB in frames of 1 MiB.
const maxPieces = 1 << 16

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

	piece int64    // bytes of the image in each Write but the last
	sums  [][]byte // of those pieces; nil where they are too many
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
	c.note(image)
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

// note keeps the digest of a piece of the image, by which it is known again.
func (c *Comparison) note(image []byte) {
	first := c.next == 1
	if first {
		c.d.piece = int64(len(image))
	}
	if len(c.d.sums) == 0 && !first {
		return
	}
	if len(c.d.sums) >= maxPieces || (c.next-1)*int64(c.d.pageSize) != int64(len(c.d.sums))*c.d.piece {
		c.d.sums = nil
		return
	}
	h := c.d.newHash()
	h.Write(image)
	c.d.sums = append(c.d.sums, h.Sum(nil))
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

// Piece is how much of the image each Write but the last had, 0 where the pieces are not
// known well enough for a ReplaceBy with some that changed.
func (d *Differences) Piece() int64 {
	if d == nil || d.sums == nil {
		return 0
	}
	return d.piece
}

// Changes are pieces, in order, in which the database is not any more what the image was
// compared with, and the image.
type Changes struct {
	Pieces []int64 // numbers, from 0
	Image  io.ReaderAt
}

// ReplaceBy is Replace by the differences of the image from the state that t replaces, but
// for what is in changes, where the image is read and compared once more. That all the
// rest is that state is the caller's to know, by Still or otherwise. Errors are Replace's;
// that an image or a file gives back something else than the first time is one more.
func (t *WriteTx) ReplaceBy(ctx context.Context, d *Differences, changes Changes, progress func(done int64)) (written int64, err error) {
	k := &known{d: d, changes: changes, in: bufio.NewReaderSize(io.NewSectionReader(d.file, 0, d.bytes), differencesBuffer),
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

	changes Changes
	piece   []byte
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
	fresh := int64(1) // pages up to that one are done
	for n := 1; ; n++ {
		if n%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.tell(max(k.last, fresh))
		}
		pgno, page, err := k.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end := errors.Is(err, io.EOF)
		if end {
			pgno = k.d.pages + 1
		}
		for len(k.changes.Pieces) > 0 && k.firstOf(k.changes.Pieces[0]) <= pgno {
			if fresh, err = k.compareAgain(ctx, r, k.changes.Pieces[0]); err != nil {
				return err
			}
			k.changes.Pieces = k.changes.Pieces[1:]
		}
		if end {
			break
		}
		if pgno <= fresh {
			continue
		}
		if err := r.write(ctx, pgno, page); err != nil {
			return err
		}
	}
	if len(k.changes.Pieces) > 0 {
		return fmt.Errorf("the image has no piece %d", k.changes.Pieces[0])
	}
	if !bytes.Equal(k.hash.Sum(nil), k.d.sum) {
		return errors.New("the differences that were written down are not what is read back")
	}
	r.tell(r.pages)
	return ctx.Err()
}

// firstOf is the first page of a piece.
func (k *known) firstOf(piece int64) int64 { return piece*k.d.piece/int64(k.d.pageSize) + 1 }

// compareAgain writes the pages of a piece in which the image differs from the
// database, and returns the last one.
func (k *known) compareAgain(ctx context.Context, r *replacement, piece int64) (last int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if piece < 0 || piece >= int64(len(k.d.sums)) {
		return 0, fmt.Errorf("the image has no piece %d", piece)
	}
	off, size := piece*k.d.piece, int64(k.d.pageSize)
	n := min(k.d.piece, k.d.pages*size-off)
	k.piece = slices.Grow(k.piece[:0], int(n))[:n]
	if got, err := k.changes.Image.ReadAt(k.piece, off); got < len(k.piece) {
		return 0, fmt.Errorf("read %d bytes at %d of the image: %w", n, off, err)
	}
	h := k.d.newHash()
	h.Write(k.piece)
	if !bytes.Equal(h.Sum(nil), k.d.sums[piece]) {
		return 0, fmt.Errorf("%d bytes at %d of the image are not what they were", n, off)
	}
	live, err := r.t.conn.Prepare("SELECT data FROM sqlite_dbpage WHERE pgno=?")
	if err != nil {
		return 0, err
	}
	defer live.Close()
	pgno := k.firstOf(piece)
	for at := int64(0); at < n; at, pgno = at+size, pgno+1 {
		if pgno == 1 || pgno == lockPage(k.d.pageSize) {
			continue
		}
		page := k.piece[at : at+size]
		same, err := isPage(live, pgno, page)
		if err == nil && !same {
			err = r.write(ctx, pgno, page)
		}
		if err != nil {
			return 0, err
		}
	}
	return pgno - 1, nil
}

// isPage reports whether the database has that page.
func isPage(live *sqlite.Stmt, pgno int64, page []byte) (bool, error) {
	live.Reset()
	if err := live.BindInt(1, pgno); err != nil {
		return false, err
	}
	found, err := live.StepFast()
	same := err == nil && found && bytes.Equal(live.Blob(0), page)
	live.Reset()
	return same, err
}
