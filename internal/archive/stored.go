package archive

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Stored is an archive as it is stored, for who copies it somewhere else: an io.ReaderAt of the file of which every byte is proven while it
// is read, without decompressing anything. It is safe for concurrent use, and holds a few frames in memory.
type Stored struct {
	in      io.ReaderAt
	size    int64
	archive *Reader
	frames  []byte // the digests of the frames
	tail    int64  // where what follows the frames begins

	mu     sync.Mutex       // guards what follows
	blocks map[int64]Digest // of what follows the frames
	kept   []*storedPiece   // the last one used first
	free   [][]byte         // buffers of pieces that are not kept any more
}

type storedPiece struct {
	begin   int64
	data    []byte
	readers int
	dropped bool
}

const (
	keptPieces  = 8
	storedBlock = 256 << 10
)

// NewStored proves what follows the frames of the archive in the first size bytes of in: with it each frame is proven as it is read.
// Of an archive of version 2, which has no digests of frames, all is proven now, and as it is when it was read the first time. Errors are those of Verify.
func NewStored(ctx context.Context, in io.ReaderAt, size int64) (*Stored, error) {
	s := &Stored{in: in, size: size, tail: size, blocks: map[int64]Digest{}}
	a, err := NewReader(in, size) // says where the frames end
	if err != nil {
		return nil, err
	}
	s.tail = a.digestsAt()
	if a.meta.FramesSum == "" {
		s.tail = 0
	}
	if s.archive, err = NewReader(s, size); err != nil { // again, for what was read is what is copied
		return nil, err
	}
	if s.frames, err = s.archive.frameDigests(); err != nil {
		return nil, err
	}
	if s.tail == 0 {
		return s, s.archive.Verify(ctx, CopyOptions{})
	}
	return s, s.archive.ProveDigests()
}

// Info describes the archive.
func (s *Stored) Info() Info { return s.archive.info }

// ReadAt reads from the file as io.ReaderAt says. ErrDamaged: its bytes are not those that were proven when the archive was made.
func (s *Stored) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read archive: negative offset %d", off)
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= s.size {
			return n, io.EOF
		}
		piece, err := s.piece(at)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], piece.data[at-piece.begin:])
		s.leave(piece)
	}
	return n, nil
}

// piece is the proven frame or block that has the byte at an offset, for who calls leave after it.
func (s *Stored) piece(at int64) (*storedPiece, error) {
	if at >= s.tail {
		k := (at - s.tail) / storedBlock
		begin := s.tail + k*storedBlock
		return s.keep(begin, min(storedBlock, s.size-begin), func(data []byte) error { return s.same(k, data) })
	}
	offsets := s.archive.offsets
	i, exact := slices.BinarySearch(offsets, at)
	if !exact {
		i--
	}
	for offsets[i+1] == at { // a frame without bytes
		i++
	}
	return s.keep(offsets[i], offsets[i+1]-offsets[i], func(data []byte) error {
		return s.archive.compareFrame(s.frames, int64(i), frameDigest(s.archive.seed, int64(i), data))
	})
}

// keep returns the piece that begins at an offset: one that is kept, or it is read and proven.
func (s *Stored) keep(begin, n int64, prove func([]byte) error) (*storedPiece, error) {
	s.mu.Lock()
	if k := slices.IndexFunc(s.kept, func(p *storedPiece) bool { return p.begin == begin }); k >= 0 {
		p := s.kept[k]
		copy(s.kept[1:k+1], s.kept[:k])
		s.kept[0] = p
		p.readers++
		s.mu.Unlock()
		return p, nil
	}
	p := &storedPiece{begin: begin, data: s.buffer(n), readers: 1}
	s.mu.Unlock()
	err := readFull(s.in, p.data, begin)
	if err != nil {
		err = fmt.Errorf("read archive at %d: %w", begin, err)
	} else {
		err = prove(p.data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.free = append(s.free, p.data)
		return nil, err
	}
	if last := len(s.kept) - 1; last+1 == keptPieces {
		s.kept[last].dropped = true
		s.recycle(s.kept[last])
		s.kept = s.kept[:last]
	}
	s.kept = slices.Insert(s.kept, 0, p)
	return p, nil
}

// buffer returns n bytes; s.mu is held. Of those that are free one is used, or goes: frames have about the same size.
func (s *Stored) buffer(n int64) []byte {
	if last := len(s.free) - 1; last >= 0 {
		b := s.free[last]
		s.free = s.free[:last]
		if int64(cap(b)) >= n {
			return b[:n]
		}
	}
	return make([]byte, n, n+n/4)
}

// leave ends the use of a piece.
func (s *Stored) leave(p *storedPiece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.readers--
	s.recycle(p)
}

// recycle frees the buffer of a piece that is neither kept nor read; s.mu is held.
func (s *Stored) recycle(p *storedPiece) {
	if p.dropped && p.readers == 0 {
		s.free = append(s.free, p.data)
		p.data = nil
	}
}

// same compares a block with what it was when it was read first.
func (s *Stored) same(k int64, data []byte) error {
	d := PageDigest(0, k+1, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, read := s.blocks[k]; read && was != d {
		return fmt.Errorf("%w: at %d: its bytes are not those of a moment ago", ErrDamaged, s.tail+k*storedBlock)
	}
	s.blocks[k] = d
	return nil
}
