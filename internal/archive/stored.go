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

	mu     sync.Mutex
	blocks map[int64]Digest // of what follows the frames
	kept   []storedPiece    // the last one used first
}

type storedPiece struct {
	begin int64
	data  []byte
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
		data, begin, err := s.piece(at)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[at-begin:])
	}
	return n, nil
}

// piece is the proven frame or block that has the byte at an offset, and where it begins.
func (s *Stored) piece(at int64) (data []byte, begin int64, err error) {
	if at >= s.tail {
		k := (at - s.tail) / storedBlock
		begin = s.tail + k*storedBlock
		data, err = s.keep(begin, min(storedBlock, s.size-begin), func(data []byte) error { return s.same(k, data) })
		return data, begin, err
	}
	offsets := s.archive.offsets
	i, exact := slices.BinarySearch(offsets, at)
	if !exact {
		i--
	}
	for offsets[i+1] == at { // a frame without bytes
		i++
	}
	data, err = s.keep(offsets[i], offsets[i+1]-offsets[i], func(data []byte) error {
		return s.archive.compareFrame(s.frames, int64(i), frameDigest(s.archive.seed, int64(i), data))
	})
	return data, offsets[i], err
}

// keep returns the piece that begins at an offset: one that is kept, or it is read and proven.
func (s *Stored) keep(begin, n int64, prove func([]byte) error) ([]byte, error) {
	s.mu.Lock()
	k := slices.IndexFunc(s.kept, func(p storedPiece) bool { return p.begin == begin })
	if k >= 0 {
		p := s.kept[k]
		copy(s.kept[1:k+1], s.kept[:k])
		s.kept[0] = p
		s.mu.Unlock()
		return p.data, nil
	}
	s.mu.Unlock()
	data := make([]byte, n)
	if err := readFull(s.in, data, begin); err != nil {
		return nil, fmt.Errorf("read archive at %d: %w", begin, err)
	}
	if err := prove(data); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = slices.Insert(s.kept[:min(len(s.kept), keptPieces-1)], 0, storedPiece{begin, data})
	return data, nil
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
