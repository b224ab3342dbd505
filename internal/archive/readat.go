package archive

import (
	"container/list"
	"fmt"
	"io"
	"sync"

	"example.com/snapd/internal/seekable"
)

const (
	// cachedFrames and cachedBytes bound the frame cache: whichever is less,
	// but always at least one frame.
	cachedFrames = 8
	cachedBytes  = 16 << 20
)

// ReadAt reads from the image, with the semantics of io.ReaderAt. Every frame
// that it touches is proven by its content checksum, and by the digests of its
// pages that it is the frame that belongs there; the first read proves those, all of
// them: 4 MiB for 1 GiB of image in pages of 4 KiB. CopyTo proves more.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read image: negative offset %d", off)
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= r.info.ImageBytes {
			return n, io.EOF
		}
		i := at / int64(r.meta.FrameBytes)
		image, err := r.cache.get(i, func() ([]byte, error) { return r.loadProven(i) })
		if err != nil {
			return n, err
		}
		n += copy(p[n:], image[at-i*int64(r.meta.FrameBytes):])
	}
	return n, nil
}

// loadProven reads frame i, and proves that it is the one that the digests are of:
// a frame in another's place has a right checksum, too.
func (r *Reader) loadProven(i int64) ([]byte, error) {
	var b frameBuffers
	image, err := b.load(r, i)
	if err != nil {
		return nil, err
	}
	if err := r.ProveDigests(); err != nil {
		return nil, err
	}
	made := appendPageDigests(nil, r.seed, r.firstPage(i)+1, image, r.meta.PageSize)
	return image, r.comparePages(r.digestsOf(i), i, made)
}

// firstPage is how many pages are before frame i.
func (r *Reader) firstPage(i int64) int64 {
	return i * int64(r.meta.FrameBytes) / int64(r.meta.PageSize)
}

// digestsOf hands out the stored digests of frame i and later ones.
func (r *Reader) digestsOf(i int64) *digestCursor {
	return &digestCursor{r: r.r, start: r.digestsAt(), page: r.firstPage(i)}
}

// frameBuffers are reused from frame to frame.
type frameBuffers struct {
	compressed []byte
	image      []byte
	prefix     *seekable.Decoder // for decodePrefix; nil until it is needed
}

// load reads and decompresses frame i; the result is good until the next load.
func (b *frameBuffers) load(r *Reader, i int64) ([]byte, error) {
	if err := b.read(r, i); err != nil {
		return nil, err
	}
	return b.decode(r, i)
}

// decode decompresses frame i, which was read.
func (b *frameBuffers) decode(r *Reader, i int64) ([]byte, error) { return b.decodeBy(r.dec, r, i) }

func (b *frameBuffers) decodeBy(dec *seekable.Decoder, r *Reader, i int64) ([]byte, error) {
	image, err := seekable.Decode(dec, b.compressed, b.image, int(r.meta.frameImageBytes(i)))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, r.where(i), err)
	}
	b.image = image
	return image, nil
}

// decodePrefix is decode of the first n bytes.
func (b *frameBuffers) decodePrefix(r *Reader, i int64, n int) (image []byte, err error) {
	if b.prefix == nil {
		if b.prefix, err = seekable.NewPrefixDecoder(); err != nil {
			return nil, err
		}
	}
	image, err = seekable.DecodePrefix(b.prefix, b.compressed, b.image, int(r.meta.frameImageBytes(i)), n)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, r.where(i), err)
	}
	b.image = image
	return image, nil
}

// read reads frame i as it is stored.
func (b *frameBuffers) read(r *Reader, i int64) error {
	size := int(r.offsets[i+1] - r.offsets[i])
	if cap(b.compressed) < size {
		b.compressed = make([]byte, size+size/4) // so that a slightly larger one needs no other
	}
	b.compressed = b.compressed[:size]
	if err := readFull(r.r, b.compressed, r.offsets[i]); err != nil {
		return fmt.Errorf("read %s: %w", r.where(i), err)
	}
	return nil
}

// where names frame i and its pages, for messages.
func (r *Reader) where(i int64) string {
	first := r.firstPage(i)
	n := r.meta.frameImageBytes(i) / int64(r.meta.PageSize)
	return fmt.Sprintf("frame %d (pages %d to %d)", i, first+1, first+n)
}

// frameCache keeps the most recently used frames decompressed. A caller that asks
// for a frame that is being loaded waits for that load. Frames are never
// written to after they were loaded, so an evicted one may still be read.
type frameCache struct {
	limit   int
	loading chan struct{} // bounds the memory of concurrent loads

	mu     sync.Mutex // guards what follows
	recent *list.List // of *cachedFrame, most recent first
	byID   map[int64]*list.Element
}

type cachedFrame struct {
	id    int64
	ready chan struct{} // closed when image and err are set
	image []byte
	err   error
}

func newFrameCache(frameBytes, loads int) frameCache {
	return frameCache{
		limit:   max(1, min(cachedFrames, cachedBytes/frameBytes)),
		loading: make(chan struct{}, loads),
		recent:  list.New(),
		byID:    make(map[int64]*list.Element),
	}
}

func (c *frameCache) get(id int64, load func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	if e, ok := c.byID[id]; ok {
		c.recent.MoveToFront(e)
		c.mu.Unlock()
		f := e.Value.(*cachedFrame)
		<-f.ready
		return f.image, f.err
	}
	f := &cachedFrame{id: id, ready: make(chan struct{})}
	e := c.recent.PushFront(f)
	c.byID[id] = e
	if c.recent.Len() > c.limit {
		c.drop(c.recent.Back())
	}
	c.mu.Unlock()

	c.loading <- struct{}{}
	f.image, f.err = load()
	<-c.loading
	close(f.ready)
	if f.err != nil { // so that the next read tries again
		c.mu.Lock()
		if c.byID[id] == e {
			c.drop(e)
		}
		c.mu.Unlock()
	}
	return f.image, f.err
}

func (c *frameCache) drop(e *list.Element) {
	c.recent.Remove(e)
	delete(c.byID, e.Value.(*cachedFrame).id)
}
