package livedb

import (
	"context"
	"io"
)

// prefetchChunk is how much is read at once, and prefetchLook after how much it is
// looked whether what was read before is still there.
const (
	prefetchChunk = 256 << 10
	prefetchLook  = 16 << 20
)

// Prefetch begins to read the database file at path from front to back, so that the
// page cache has it for a caller who reads all of it in another order: a check
// walks trees, and jumps. Parts that are there already are not read again. stop ends it
// and returns when it has ended; it may be called twice, and has to be called. The
// end of ctx ends it, too.
//
// It is an optimisation, and returns no error: what cannot be read here, the caller
// finds, and reports, when it reads that itself. It ends by itself at the first error;
// where the file system does not report what is in the cache; and where memory is
// too short to keep what was read. Outside Linux it does nothing.
func Prefetch(ctx context.Context, path string) (stop func()) {
	if !tellsCached {
		return func() {}
	}
	f, err := Open(path)
	if err != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if size, err := f.Size(); err == nil {
			prefetch(ctx, f, size)
		}
		_ = f.Close() // read only
	}()
	return func() {
		cancel()
		<-ended
	}
}

// cacher is a file that knows whether a byte can be read without waiting for a device.
type cacher interface {
	io.ReaderAt
	// cached reports it of the one at off. It may overwrite b, which is not empty.
	cached(b []byte, off int64) (bool, error)
}

// prefetch reads the first size bytes of f as Prefetch says. Large holes are left
// out: zeros would take memory as well.
func prefetch(ctx context.Context, f cacher, size int64) {
	buf := make([]byte, min(size, prefetchChunk))
	begin := int64(0) // of what was passed without leaving anything out
	for off := int64(0); off < size; {
		if data := min(NextData(f, off), size) / prefetchLook * prefetchLook; data > off {
			off, begin = data, data
		}
		if !keeps(f, buf, begin, off) {
			return
		}
		for end := min(off+prefetchLook, size); off < end; off += prefetchChunk {
			if ctx.Err() != nil || !fetch(f, buf[:min(end-off, prefetchChunk)], off) {
				return
			}
		}
	}
}

// fetch reads chunk unless it is in the cache; false if it could not.
func fetch(f cacher, chunk []byte, off int64) bool {
	there, err := f.cached(chunk, off)
	if there && err == nil {
		there, err = f.cached(chunk, off+int64(len(chunk))-1)
	}
	if !there && err == nil {
		_, err = f.ReadAt(chunk, off)
	}
	return err == nil
}

// keeps reports whether what was read between begin and off is still in the cache. It
// looks at few places, the farther back the fewer: what was read first goes first. To
// look at a place is to use it, and what is used twice is kept for longer; so
// it is another place each time.
func keeps(f cacher, buf []byte, begin, off int64) bool {
	const apart = 2 << 20 // memory is given in pieces of as much at most
	shift := int64(0)
	for back := int64(prefetchLook); off-back >= begin; back *= 2 {
		there, err := f.cached(buf, off-back+shift)
		if err != nil || !there {
			return false
		}
		shift += apart
	}
	return true
}
