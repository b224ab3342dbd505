package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zeebo/xxh3"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

// spoolMemory is how many bytes of page digests are kept in memory before they
// go to a scratch file: those of 256 MiB in pages of 4 KiB.
const spoolMemory = 1 << 20

// digestSpool collects page digests until the data frames are all written.
type digestSpool struct {
	dir   string // of the scratch file
	limit int    // bytes in memory
	mem   []byte
	file  *durable.ScratchFile // nil until the limit is passed
	bytes int64                // in the file
	sum   Sum
}

func newDigestSpool(dir string) *digestSpool {
	return &digestSpool{dir: dir, limit: spoolMemory}
}

func (s *digestSpool) add(digests []byte) error {
	s.sum.addAll(digests)
	s.mem = append(s.mem, digests...)
	if len(s.mem) < s.limit {
		return nil
	}
	if s.file == nil {
		f, err := durable.Scratch(s.dir, "digests")
		if err != nil {
			return fmt.Errorf("spool page digests: %w", err)
		}
		f.Unlink()
		s.file = f
	}
	n, err := s.file.WriteAt(s.mem, s.bytes)
	s.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("spool page digests: %w", err)
	}
	s.mem = s.mem[:0]
	return nil
}

// readAt fills p with digests from byte offset off; the file's come first.
func (s *digestSpool) readAt(p []byte, off int64) error {
	if off < s.bytes {
		n := min(int64(len(p)), s.bytes-off)
		if _, err := s.file.ReadAt(p[:n], off); err != nil {
			return fmt.Errorf("read spooled page digests: %w", err)
		}
		p, off = p[n:], off+n
	}
	if len(p) > 0 {
		copy(p, s.mem[off-s.bytes:])
	}
	return nil
}

// writeFrames writes the digest frames of pages digests and calls wrote with
// the size of each.
func (s *digestSpool) writeFrames(w io.Writer, pages int64, wrote func(bytes int)) error {
	buf := make([]byte, 0, digestFrameBytes(min(pages, digestsPerFrame)))
	for first := int64(0); first < pages; first += digestsPerFrame {
		n := int(min(pages-first, digestsPerFrame)) * digestBytes
		buf = seekable.AppendSkipHeader(buf[:0], magicDigests, n+checksumBytes)
		digests := buf[seekable.SkipHeaderBytes : seekable.SkipHeaderBytes+n]
		if err := s.readAt(digests, first*digestBytes); err != nil {
			return err
		}
		buf = binary.LittleEndian.AppendUint64(buf[:seekable.SkipHeaderBytes+n], digestFrameChecksum(digests, first))
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("write page digests: %w", err)
		}
		wrote(len(buf))
	}
	return nil
}

func (s *digestSpool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// digestFrameBytes is the size of a whole digest frame for n pages.
func digestFrameBytes(n int64) int64 { return seekable.SkipHeaderBytes + n*digestBytes + checksumBytes }

// digestFrameChecksum ends a digest frame before which there are so many pages: a
// frame in another's place has a wrong one.
func digestFrameChecksum(digests []byte, before int64) uint64 {
	return xxh3.HashSeed(digests, uint64(before))
}

// A DigestSource hands out page digests in order, one after the other in a slice: up to
// want, at least one unless there are none left. The slice is good until the next call.
type DigestSource interface {
	Next(want int) ([]byte, error)
}

// digestCursor hands out page digests from any page on, without proving them.
type digestCursor struct {
	r     io.ReaderAt
	start int64 // of the first digest frame
	page  int64 // pages before the next digest
	buf   []byte
}

// Next: see DigestSource.
func (d *digestCursor) Next(want int) ([]byte, error) {
	frame, at := d.page/digestsPerFrame, d.page%digestsPerFrame
	n := min(int64(want), digestsPerFrame-at)
	d.page += n
	d.buf = slices.Grow(d.buf[:0], int(n)*digestBytes)[:n*digestBytes]
	off := d.start + frame*digestFrameBytes(digestsPerFrame) + seekable.SkipHeaderBytes + at*digestBytes
	if err := readFull(d.r, d.buf, off); err != nil {
		return nil, fmt.Errorf("read page digests: %w", err)
	}
	return d.buf, nil
}

// digestReader hands out the stored page digests in order, each digest frame
// proven by its own checksum before any of it is handed out.
type digestReader struct {
	r     io.ReaderAt
	off   int64 // of the next digest frame
	pages int64
	read  int64 // pages in the digest frames that were read
	buf   []byte
	ready []byte // digests read and not yet handed out
	sum   Sum    // of those in the frames that were read
}

// Digests hands out all page digests; see Image.
func (r *Reader) Digests() DigestSource { return r.digests() }

func (r *Reader) digests() *digestReader {
	return &digestReader{r: r.r, off: r.digestsAt(), pages: r.meta.PageCount}
}

// Next: see DigestSource.
func (d *digestReader) Next(want int) ([]byte, error) {
	if len(d.ready) == 0 && d.read < d.pages {
		if err := d.fill(); err != nil {
			return nil, err
		}
	}
	n := min(want*digestBytes, len(d.ready))
	out := d.ready[:n]
	d.ready = d.ready[n:]
	return out, nil
}

func (d *digestReader) fill() error {
	pages := min(d.pages-d.read, digestsPerFrame)
	size := digestFrameBytes(pages)
	if d.buf == nil {
		d.buf = make([]byte, size)
	}
	b := d.buf[:size]
	if err := readFull(d.r, b, d.off); err != nil {
		return fmt.Errorf("read page digests: %w", err)
	}
	what := fmt.Sprintf("digest frame %d", d.read/digestsPerFrame)
	if err := checkSkipHeader(b, magicDigests, size-seekable.SkipHeaderBytes, what); err != nil {
		return err
	}
	ready := b[seekable.SkipHeaderBytes : size-checksumBytes]
	if digestFrameChecksum(ready, d.read) != binary.LittleEndian.Uint64(b[size-checksumBytes:]) {
		return fmt.Errorf("%w: %s: checksum", ErrDamaged, what)
	}
	d.ready = ready
	d.sum.addAll(ready)
	d.off += size
	d.read += pages
	return nil
}

// finish proves, after the last digest, that these were the archive's.
func (d *digestReader) finish(want Sum) error {
	if d.sum != want {
		return fmt.Errorf("%w: page digests: sum is %s, recorded %s", ErrDamaged, d.sum, want)
	}
	return nil
}

// ProveDigests proves the page digests against the metadata's sum, until it once succeeds.
func (r *Reader) ProveDigests() error {
	r.proving.Lock()
	defer r.proving.Unlock()
	if r.proven {
		return nil
	}
	d := r.digests()
	for d.read < d.pages {
		if err := d.fill(); err != nil {
			return err
		}
	}
	err := d.finish(r.info.Sum)
	r.proven = err == nil
	return err
}

// digestsAt is where the first digest frame begins.
func (r *Reader) digestsAt() int64 { return r.offsets[len(r.offsets)-1] }

// readFull reads all of p; a file that has become shorter is ErrTruncated.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %d bytes at %d", ErrTruncated, len(p), off)
	}
	return err
}
