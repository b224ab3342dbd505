package archive

import (
	"bytes"

	"example.com/snapd/internal/seekable"
)

// reuseFrame takes the compressed frame from o.Base, where that has one of the same
// pages by their digests; if anything is wrong with it, the frame is compressed instead.
func (f *frameJob) reuseFrame(o WriterOptions) bool {
	r := o.Base
	if r == nil || r.meta.PageSize != o.PageSize || r.seed != o.Seed || r.meta.FrameBytes != o.FrameBytes ||
		f.id >= r.meta.frames() || r.meta.frameImageBytes(f.id) != int64(len(f.image)) || len(f.digests) == 0 {
		return false
	}
	stored := r.digestsOf(f.id)
	for made := f.digests; len(made) > 0; {
		want, err := stored.Next(len(made) / digestBytes)
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
	return readFull(r.r, f.compressed, r.offsets[f.id]) == nil && seekable.CheckFrame(f.compressed, len(f.image)) == nil
}
