package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"

	"github.com/zeebo/xxh3"
)

// CopyOptions: zero values are defaults.
type CopyOptions struct {
	Workers  int                        // decompressing goroutines; 0 is GOMAXPROCS
	Progress func(doneImageBytes int64) // called on the caller's goroutine after every frame
}

// CopyTo writes the image to w in order, and proves every digest on the way:
// the frames' checksums and the pages' digests before a frame is written, the
// image's BLAKE3 at the end. What reached w is only proven when the error is
// nil. Errors: ErrDamaged with frame and pages, ErrTruncated, w's, or that of
// reading. It holds Workers+2 frames.
func (r *Reader) CopyTo(ctx context.Context, w io.Writer, o CopyOptions) error {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	p := r.startDecoding(o.Workers)
	defer p.stop()
	digests := newDigestReader(r.r, r.digestsAt(), r.meta.PageCount)
	image, stored := startHashing(), xxh3.New()
	defer image.stop()
	for i := range r.meta.frames() {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		f := p.next()
		if f.err != nil {
			return f.err
		}
		stored.Write(f.compressed)
		if err := r.comparePages(digests, i, f.digests); err != nil {
			return err
		}
		image.begin(f.image)
		n, err := w.Write(f.image)
		image.wait()
		if err != nil {
			return fmt.Errorf("copy image: %w", err)
		} else if n < len(f.image) {
			return fmt.Errorf("copy image: %w", io.ErrShortWrite)
		}
		if o.Progress != nil {
			o.Progress(i*int64(r.meta.FrameBytes) + int64(len(f.image)))
		}
	}
	if err := digests.finish(r.meta.DigestsBLAKE3); err != nil {
		return err
	}
	if got := fmt.Sprintf("%016x", stored.Sum64()); got != r.meta.FramesXXH3 {
		return fmt.Errorf("%w: stored frames: XXH3 is %s, recorded %s", ErrDamaged, got, r.meta.FramesXXH3)
	}
	if got := hex.EncodeToString(image.h.Sum(nil)); got != r.meta.ImageBLAKE3 {
		return fmt.Errorf("%w: image: BLAKE3 is %s, recorded %s", ErrDamaged, got, r.meta.ImageBLAKE3)
	}
	return nil
}

// hashing takes the image's digest on a goroutine of its own, while the frame is written:
// one after the other takes longer than decompressing it.
type hashing struct {
	h    hash.Hash
	todo chan []byte
	done chan struct{}
}

func startHashing() *hashing {
	// There is room in done: after a panic of the writer nobody waits.
	h := &hashing{h: NewImageHash(), todo: make(chan []byte), done: make(chan struct{}, 1)}
	go func() {
		for p := range h.todo {
			h.h.Write(p)
			h.done <- struct{}{}
		}
	}()
	return h
}

func (h *hashing) begin(p []byte) { h.todo <- p }
func (h *hashing) wait()          { <-h.done }
func (h *hashing) stop()          { close(h.todo) }

// Verify proves every byte of the archive: what Open and CopyTo prove, with
// the image going nowhere.
func (r *Reader) Verify(ctx context.Context, o CopyOptions) error {
	return r.CopyTo(ctx, io.Discard, o)
}

// PageDigests calls fn with the stored XXH3-64 of every page in order, pgno
// from 1, without decompressing anything. When it returns an error, or fn
// does, digests handed out so far may not be the archive's.
func (r *Reader) PageDigests(ctx context.Context, fn func(pgno int64, xxh3 uint64) error) error {
	digests := newDigestReader(r.r, r.digestsAt(), r.meta.PageCount)
	for pgno := int64(1); pgno <= r.meta.PageCount; {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("read page digests: %w", err)
		}
		b, err := digests.next(digestsPerFrame)
		if err != nil {
			return err
		}
		for ; len(b) > 0; b, pgno = b[xxh3Bytes:], pgno+1 {
			if err := fn(pgno, binary.LittleEndian.Uint64(b)); err != nil {
				return err
			}
		}
	}
	return digests.finish(r.meta.DigestsBLAKE3)
}

// comparePages compares the digests made from frame i with the stored ones.
func (r *Reader) comparePages(stored digestSource, i int64, made []byte) error {
	pgno := r.firstPage(i) + 1
	for len(made) > 0 {
		want, err := stored.next(len(made) / xxh3Bytes)
		if err != nil {
			return err
		}
		if !bytes.Equal(made[:len(want)], want) {
			for bytes.Equal(made[:xxh3Bytes], want[:xxh3Bytes]) {
				made, want, pgno = made[xxh3Bytes:], want[xxh3Bytes:], pgno+1
			}
			return fmt.Errorf("%w: %s: digest of page %d", ErrDamaged, r.where(i), pgno)
		}
		made = made[len(want):]
		pgno += int64(len(want) / xxh3Bytes)
	}
	return nil
}

// decoding is a ring of frames that workers decompress ahead of next.
type decoding struct {
	r       *Reader
	ring    []*decodedFrame
	asked   int64 // frames given to the workers
	given   int64 // frames returned by next
	todo    chan *decodedFrame
	workers sync.WaitGroup
}

type decodedFrame struct {
	frameBuffers
	id      int64
	digests []byte
	err     error
	done    chan struct{} // one token from the worker
}

func (r *Reader) startDecoding(workers int) *decoding {
	frames := r.meta.frames()
	workers = int(min(int64(workers), frames))
	p := &decoding{r: r, ring: make([]*decodedFrame, workers+2)}
	p.todo = make(chan *decodedFrame, len(p.ring))
	for i := range p.ring {
		p.ring[i] = &decodedFrame{done: make(chan struct{}, 1)}
	}
	for range workers {
		p.workers.Go(p.work)
	}
	return p
}

func (p *decoding) work() {
	for f := range p.todo {
		image, err := f.load(p.r, f.id)
		f.err = err
		if err == nil {
			f.digests = appendPageDigests(f.digests[:0], image, p.r.meta.PageSize)
		}
		f.done <- struct{}{}
	}
}

// next waits for the next frame; it is good until the call after. There must
// be one left.
func (p *decoding) next() *decodedFrame {
	for p.asked < p.r.meta.frames() && p.asked-p.given < int64(len(p.ring)) {
		f := p.ring[p.asked%int64(len(p.ring))]
		f.id = p.asked
		p.asked++
		p.todo <- f
	}
	f := p.ring[p.given%int64(len(p.ring))]
	p.given++
	<-f.done
	return f
}

// stop waits for the workers; what they still had to do is finished unseen.
func (p *decoding) stop() {
	close(p.todo)
	p.workers.Wait()
}
