package archive

import (
	"example.com/snapd/internal/readahead"
	"example.com/snapd/internal/seekable"
)

// decoding are frames that workers decompress ahead of Next.
type decoding = readahead.Ring[decodedFrame]

type decodedFrame struct {
	frameBuffers
	id      int64
	wanted  []int64 // page numbers, for ReadPages
	digests []byte
	err     error
}

// startDecoding has workers load the frames that fill names.
func (r *Reader) startDecoding(workers int, fill func(*decodedFrame) bool, load func(*decodedFrame) error) *decoding {
	workers = int(min(int64(workers), r.meta.frames()))
	return readahead.New(workers, fill, func(f *decodedFrame) { f.err = load(f) })
}

// allFrames is a fill for every frame.
func (r *Reader) allFrames() func(*decodedFrame) bool {
	next := int64(0)
	return func(f *decodedFrame) bool {
		f.id = next
		next++
		return f.id < r.meta.frames()
	}
}

// decode loads f, and makes the digests of its pages.
func (r *Reader) decode(f *decodedFrame) error {
	err := f.read(r, f.id)
	if err == nil {
		err = f.decompress(r)
	}
	return err
}

// decodeStored is decode for frames whose stored bytes have the digests in list: with theirs, the frame's own checksum is proven, and not
// computed again. A frame with another digest is decoded with it: a few bits of a frame have no meaning.
func (r *Reader) decodeStored(list []byte) func(*decodedFrame) error {
	return func(f *decodedFrame) error {
		if err := f.read(r, f.id); err != nil {
			return err
		}
		dec := r.quick
		if list == nil || r.compareFrame(list, f.id, frameDigest(r.seed, f.id, f.compressed)) != nil {
			dec = r.dec
		}
		return f.decompressBy(dec, r)
	}
}

// decompress decompresses what was read, and makes the digests of its pages.
func (f *decodedFrame) decompress(r *Reader) error {
	return f.decompressBy(r.dec, r)
}

func (f *decodedFrame) decompressBy(dec *seekable.Decoder, r *Reader) error {
	image, err := f.decodeBy(dec, r, f.id)
	if err == nil {
		f.digests = appendPageDigests(f.digests[:0], r.seed, r.firstPage(f.id)+1, image, r.meta.PageSize)
	}
	return err
}
