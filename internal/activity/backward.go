package activity

import (
	"bytes"
	"io"
)

// block is how many bytes are read at a time.
const block = 64 << 10

// backward gives the lines of a file from the last to the first, holding no more
// than a block and a line of it.
type backward struct {
	r     io.ReaderAt
	floor int64  // offset below which nothing is read
	pos   int64  // offset in the file of buf's first byte: what is before it is not read yet
	buf   []byte // the lines in it are still to be returned
	long  bool   // the line that buf ends with is too long, and its end was dropped
	ended bool
}

// newBackward begins with the line that ends at offset end.
func newBackward(r io.ReaderAt, end, floor int64) *backward {
	return &backward{r: r, floor: floor, pos: end}
}

// next returns a line without its end, and its offset; io.EOF before the first that
// begins at the floor or after it. A
// line longer than maxLine is given as an empty one. The line is good until the next
// call.
func (b *backward) next() (line []byte, at int64, err error) {
	for {
		if i := bytes.LastIndexByte(b.buf, '\n'); i >= 0 {
			return b.take(i + 1)
		}
		if b.pos == b.floor {
			if b.ended || b.floor > 0 {
				return nil, 0, io.EOF
			}
			b.ended = true
			return b.take(0)
		}
		if len(b.buf) > maxLine {
			b.buf, b.long = nil, true
		}
		if err := b.fill(); err != nil {
			return nil, 0, err
		}
	}
}

// left is, after io.EOF, the offset before which nothing was given; 0 if that is all.
func (b *backward) left() int64 {
	if b.floor == 0 {
		return 0
	}
	return b.pos + int64(len(b.buf))
}

// take cuts off the line that begins at buf[from].
func (b *backward) take(from int) (line []byte, at int64, err error) {
	line, at = b.buf[from:], b.pos+int64(from)
	if b.long || len(line) > maxLine {
		line, b.long = nil, false
	}
	b.buf = b.buf[:max(0, from-1)] // without the end of the line before
	return line, at, nil
}

// fill reads one block more.
func (b *backward) fill() error {
	n := min(block, b.pos-b.floor)
	grown := make([]byte, n, n+int64(len(b.buf)))
	if _, err := io.ReadFull(io.NewSectionReader(b.r, b.pos-n, n), grown); err != nil {
		return err
	}
	b.buf, b.pos = append(grown, b.buf...), b.pos-n
	return nil
}
