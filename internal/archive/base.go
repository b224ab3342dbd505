package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
)

// base is an archive whose frames can be reused. Why a frame of it need not be decompressed
// again: when it was written, its stored bytes were read back, decompressed, and gave the
// pages that its page digests are of (or were themselves a proven base's). The frame digest
// was made of these bytes. So bytes that have it now are the same ones.
type base struct {
	*Reader
	frames []byte // the proven frame digests

	mu     sync.Mutex
	failed error // what went wrong first
}

// openBase proves the digests of o.Base, and makes it the writer's where the two fit together.
func (w *Writer) openBase() {
	r, o := w.o.Base, w.o
	if r == nil || r.meta.PageSize != o.PageSize || r.seed != o.Seed || r.meta.FrameBytes != o.FrameBytes || r.meta.Level != o.Level {
		return
	}
	b := &base{Reader: r}
	w.base = b
	var err error
	if b.frames, err = r.frameDigests(); err == nil && b.frames != nil {
		err = r.ProveDigests()
	}
	if err != nil {
		b.frames = nil
		b.found(err)
	}
}

// found keeps what went wrong with the base.
func (b *base) found(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == nil {
		b.failed = err
	}
}

// reuse takes the stored frame of the base, where that has one of the same pages. If anything
// is wrong with it, it is as if there were none.
func (b *base) reuse(f *frameJob) bool {
	if b.frames == nil || f.id >= b.meta.frames() || b.meta.frameImageBytes(f.id) != int64(len(f.image)) {
		return false
	}
	stored := b.digestsOf(f.id)
	for made := f.digests; len(made) > 0; {
		want, err := stored.Next(len(made) / digestBytes)
		if err != nil {
			b.found(err)
		}
		if err != nil || !bytes.Equal(made[:len(want)], want) {
			return false
		}
		made = made[len(want):]
	}
	size := int(b.offsets[f.id+1] - b.offsets[f.id])
	if cap(f.compressed) < size {
		f.compressed = make([]byte, size+size/4)
	}
	f.compressed = f.compressed[:size]
	err := readFull(b.r, f.compressed, b.offsets[f.id])
	if err == nil {
		f.stored = frameDigest(b.seed, f.id, f.compressed)
		err = b.compareFrame(b.frames, f.id, f.stored)
	}
	if err != nil {
		b.found(err)
	}
	return err == nil
}

// BaseError returns what was found wrong with Base, nil for nothing: damage, or that it could
// not be read. The archive does without it then.
func (w *Writer) BaseError() error {
	if w.base == nil {
		return nil
	}
	w.base.mu.Lock()
	defer w.base.mu.Unlock()
	return w.base.failed
}

// CopyBase writes all of Base's image, in place of Write: nothing is decompressed or compressed. That
// the image to be stored is that one is for the caller to know. Progress is called with bytes of the
// image. Errors: ErrDamaged where a stored frame is not the one that was proven, and others, final ones.
func (w *Writer) CopyBase(ctx context.Context, progress func(int64)) error {
	if w.ended || w.whole || w.started {
		return errEnded
	}
	if w.openBase(); w.base == nil || w.base.frames == nil {
		return w.fail(fmt.Errorf("copy the base: %w", cmp.Or(w.BaseError(), errUnlike)))
	}
	b, digests := w.base, w.base.digests()
	var buffers frameBuffers
	for i := range b.meta.frames() {
		err := context.Cause(ctx)
		if err == nil {
			err = buffers.read(b.Reader, i)
		}
		f := frameJob{id: i, reused: true, compressed: buffers.compressed}
		if err == nil {
			f.stored = frameDigest(b.seed, i, f.compressed)
			err = b.compareFrame(b.frames, i, f.stored)
		}
		for n := int(b.meta.frameImageBytes(i)) / b.meta.PageSize; err == nil && len(f.digests) < n*digestBytes; {
			var more []byte
			more, err = digests.Next(n - len(f.digests)/digestBytes)
			f.digests = append(f.digests, more...)
		}
		if err != nil && ctx.Err() == nil {
			b.found(err)
		}
		if err == nil {
			err = w.writeFrame(&f)
		}
		if err != nil {
			return w.fail(fmt.Errorf("copy the base: %w", err))
		}
		w.total += b.meta.frameImageBytes(i)
		if progress != nil {
			progress(w.total)
		}
	}
	if err := digests.finish(b.info.Sum); err != nil {
		b.found(err)
		return w.fail(fmt.Errorf("copy the base: %w", err))
	}
	w.imageBLAKE3 = b.meta.ImageBLAKE3
	return nil
}

// errUnlike: what CopyBase copies has to be of the same pages, seed, frames and level.
var errUnlike = errors.New("it is no archive of the same kind")
