package archive

import (
	"bytes"
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
