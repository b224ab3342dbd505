package changes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

// segment is a segment's file, open for reading.
type segment struct {
	name  string
	r     io.ReaderAt
	size  int64 // of what may be read
	head  Head
	seed  archive.Seed
	start int64  // of the first part
	last  uint64 // capture that it ends with, by the name of a sealed one; else 0
}

// openSegment reads the head.
func openSegment(name string, r io.ReaderAt, size int64) (*segment, error) {
	s := &segment{name: name, r: r, size: size}
	_, start, err := readDocument(r, size, magicHead, 0, &s.head)
	if err == nil {
		err = s.head.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: head: %w", name, err)
	}
	s.start = start
	s.seed, err = s.head.seed()
	return s, err
}

// captured is a capture and where its parts are.
type captured struct {
	Capture
	begin, end int64
}

// each calls fn with every part up to the end of the last whole capture, and returns where
// that is. What follows it is not judged; a sealed segment that ends before its last capture is ErrDamaged.
func (s *segment) each(from int64, fn func(p *part) error) (end int64, err error) {
	end = from
	var pending []*part
	var last uint64
	for at := from; ; {
		p, err := readPart(s.r, s.size, s.head.PageSize, at)
		if err == errEnd && last < s.last {
			return end, fmt.Errorf("%s: %w: nothing leads to capture %d", s.name, ErrDamaged, s.last)
		}
		if err == errEnd {
			return end, nil
		}
		if err != nil {
			return end, fmt.Errorf("%s: part at %d: %w", s.name, at, err)
		}
		at = p.end()
		pending = append(pending, p)
		if p.Capture == nil {
			continue
		}
		for _, p := range pending {
			if err := fn(p); err != nil {
				return end, err
			}
		}
		pending, end, last = pending[:0], at, p.Capture.Seq
	}
}

// captures lists the whole captures, and says where the last one ends.
func (s *segment) captures() (list []captured, end int64, err error) {
	begin, last := s.start, uint64(0)
	end, err = s.each(s.start, func(p *part) error {
		if p.Capture == nil {
			return nil
		}
		if p.Capture.Seq <= last {
			return fmt.Errorf("%s: %w: capture %d after capture %d", s.name, ErrDamaged, p.Capture.Seq, last)
		}
		list = append(list, captured{*p.Capture, begin, p.end()})
		begin, last = p.end(), p.Capture.Seq
		return nil
	})
	return list, end, err
}

// partBuffers are reused from part to part.
type partBuffers struct {
	compressed, content []byte
	of                  *segment // whose frame at that offset content is of, nil for none
	at                  int64
}

// decoders decompress the frames of segments.
type decoders struct {
	frames *seekable.Decoder // proves their checksums
	pages  *seekable.Decoder // does not, for pages that are proven by their digests
}

func newDecoders() (d decoders, err error) {
	if d.frames, err = seekable.NewDecoder(); err == nil {
		d.pages, err = seekable.NewProvenDecoder()
	}
	return d, err
}

func (d decoders) close() {
	for _, d := range []*seekable.Decoder{d.frames, d.pages} {
		if d != nil {
			d.Close()
		}
	}
}

// content decompresses the pages of a frame, one after the other; it is good until the buffers' next use.
func (s *segment) content(d *seekable.Decoder, p storedPart, b *partBuffers) ([]byte, error) {
	switch {
	case p.bytes == 0:
		return nil, nil
	case b.of == s && b.at == p.at && len(b.content) == p.pages*s.head.PageSize: // that of a part before
		return b.content, nil
	}
	b.of = nil
	b.compressed = slices.Grow(b.compressed[:0], int(p.bytes))[:p.bytes]
	if err := readFull(s.r, b.compressed, p.at); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	content, err := seekable.Decode(d, b.compressed, b.content, p.pages*s.head.PageSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: pages at %d: %w", s.name, ErrDamaged, p.at, err)
	}
	b.content, b.of, b.at = content, s, p.at
	return content, nil
}

// provePage proves page number i of a frame's content by its digest.
func (s *segment) provePage(p storedPart, i int, e entry, content []byte) error {
	page := content[i*s.head.PageSize:][:s.head.PageSize]
	if archive.PageDigest(s.seed, int64(e.pgno), page) != e.digest {
		return fmt.Errorf("%s: %w: page %d at %d has another digest", s.name, ErrDamaged, e.pgno, p.at)
	}
	return nil
}

// provePart calls fn with every page of a part, proven by its digest.
func (s *segment) provePart(d *seekable.Decoder, p *part, b *partBuffers, fn func(e entry, page []byte) error) error {
	f := p.frame()
	content, err := s.content(d, f, b)
	if err != nil {
		return err
	}
	for i, e := range p.entries {
		if err := s.provePage(f, f.first+i, e, content); err != nil {
			return err
		}
		if err := fn(e, content[(f.first+i)*s.head.PageSize:][:s.head.PageSize]); err != nil {
			return err
		}
	}
	return nil
}

// prove decompresses every part from an offset on, and returns the last capture that is sound, with all before it; 0 for none.
func (s *segment) prove(ctx context.Context, d *seekable.Decoder, from int64) (sound uint64, err error) {
	var b partBuffers
	_, err = s.each(from, func(p *part) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.provePart(d, p, &b, func(entry, []byte) error { return nil })
		if err == nil && p.Capture != nil {
			sound = p.Capture.Seq
		}
		return err
	})
	return sound, err
}

// finished lists the captures of a segment that is still open, as a crash may have left it:
// of the last one any part may be missing. Where another one follows it is no crash's doing:
// that is ErrDamaged, and nothing may be cut off; the captures before the damage are listed.
func (s *segment) finished(d *seekable.Decoder) (list []captured, end int64, err error) {
	list, end, err = s.captures()
	if err != nil {
		return list, end, err
	}
	if n := len(list); n > 0 && end == s.size {
		if _, err := s.prove(context.Background(), d, list[n-1].begin); errors.Is(err, ErrDamaged) {
			return list[:n-1], list[n-1].begin, nil
		} else if err != nil {
			return nil, 0, err
		}
		return list, end, nil
	}
	follows, err := s.follows(end)
	if err == nil && follows > 0 {
		err = fmt.Errorf("%s: %w: at %d, before the capture at %d", s.name, ErrDamaged, end, follows)
	}
	return list, end, err
}

// follows returns where the capture begins that has parts after an offset and
// does not begin there; 0 for none.
func (s *segment) follows(end int64) (begin int64, err error) {
	const step = 1 << 20
	buf := make([]byte, step+3)
	for at := end; at < s.size; at += step {
		b := buf[:min(int64(len(buf)), s.size-at)]
		if err := readFull(s.r, b, at); err != nil {
			return 0, err
		}
		for i := 0; i+4 <= len(b) && i < step; i++ {
			if byteOrder.Uint32(b[i:]) != magicPart {
				continue
			}
			p, err := readPart(s.r, s.size, s.head.PageSize, at+int64(i))
			switch {
			case err == nil && p.Capture != nil && p.Begin != end:
				return p.Begin, nil
			case err != nil && !errors.Is(err, ErrDamaged):
				return 0, err
			}
		}
	}
	return 0, nil
}

// openFile opens a file of a log. What is no regular file was put there by another: it is damage.
func openFile(path string, flag int) (*os.File, error) {
	f, err := durable.OpenRegular(path, flag, 0)
	if errors.Is(err, durable.ErrNotRegular) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return f, err
}
