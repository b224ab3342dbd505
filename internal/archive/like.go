package archive

import "bytes"

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
