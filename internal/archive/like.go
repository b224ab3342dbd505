package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// copyLike takes the compressed frame from o.Like, where that has one of the same pages
// by their digests; whatever is wrong with it, the frame is compressed instead.
func (f *frameJob) copyLike(o WriterOptions) bool {
	r := o.Like
	if r == nil || r.meta.PageSize != o.PageSize || r.meta.FrameBytes != o.FrameBytes ||
		f.id >= r.meta.frames() || r.meta.frameImageBytes(f.id) != int64(len(f.image)) || len(f.digests) == 0 {
		return false
	}
	stored := &digestCursor{r: r.r, start: r.digestsAt(), page: r.firstPage(f.id)}
	for made := f.digests; len(made) > 0; {
		want, err := stored.next(len(made) / xxh3Bytes)
		if err != nil || !bytes.Equal(made[:len(want)], want) {
			return false
		}
		made = made[len(want):]
	}
	size := int(r.offsets[f.id+1] - r.offsets[f.id])
	if cap(f.compressed) < size {
		f.compressed = make([]byte, size+size/4)
	}
	f.compressed = f.compressed[:size]
	return readFull(r.r, f.compressed, r.offsets[f.id]) == nil && checkZstdFrame(f.compressed, len(f.image)) == nil
}

// Changed returns the numbers of the frames that are not, byte for byte, those that
// like has in the same place, nor then of the same image; all of them, where the two
// have frames of different sizes. It decompresses nothing.
func (r *Reader) Changed(ctx context.Context, like *Reader) (frames []int64, err error) {
	comparable := r.meta.PageSize == like.meta.PageSize && r.meta.FrameBytes == like.meta.FrameBytes
	var a, b []byte
	for i := range r.meta.frames() {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("compare archives: %w", err)
		}
		size := r.offsets[i+1] - r.offsets[i]
		if !comparable || i >= like.meta.frames() || size != like.offsets[i+1]-like.offsets[i] {
			frames = append(frames, i)
			continue
		}
		a, b = slices.Grow(a[:0], int(size))[:size], slices.Grow(b[:0], int(size))[:size]
		if err := errors.Join(readFull(r.r, a, r.offsets[i]), readFull(like.r, b, like.offsets[i])); err != nil {
			return nil, fmt.Errorf("compare archives: %w", err)
		}
		if !bytes.Equal(a, b) {
			frames = append(frames, i)
		}
	}
	return frames, nil
}
