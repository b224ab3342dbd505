package archive

import (
	"bytes"
	"fmt"

	"example.com/snapd/internal/seekable"
)

// The frame digests are the digests of the data frames as they are stored: PageDigest of frame
// i, counted from 1, and its compressed bytes. metadata.FramesSum proves the list of them.

// frameDigestsBytes is the size of the skippable frame with the digests of so many frames.
func frameDigestsBytes(frames int64) int64 { return seekable.SkipHeaderBytes + frames*digestBytes }

// appendFrameDigests is the skippable frame with the digests in list.
func appendFrameDigests(list []byte) []byte {
	return append(seekable.AppendSkipHeader(nil, magicFrames, len(list)), list...)
}

// frameDigest digests stored frame i.
func frameDigest(seed Seed, i int64, compressed []byte) Digest {
	return PageDigest(seed, i+1, compressed)
}

// frameDigests returns the proven frame digests, nil where the archive has none. It reads
// them once.
func (r *Reader) frameDigests() ([]byte, error) {
	if r.meta.FramesSum == "" {
		return nil, nil
	}
	r.proving.Lock()
	defer r.proving.Unlock()
	if r.frames != nil {
		return r.frames, nil
	}
	b := make([]byte, frameDigestsBytes(r.meta.frames()))
	if err := readFull(r.r, b, r.frameDigestsAt()); err != nil {
		return nil, fmt.Errorf("read frame digests: %w", err)
	}
	list := b[seekable.SkipHeaderBytes:]
	if err := checkSkipHeader(b, magicFrames, int64(len(list)), "frame digests"); err != nil {
		return nil, err
	}
	want, err := ParseSum(r.meta.frames(), r.meta.FramesSum)
	if err != nil {
		return nil, fmt.Errorf("%w: metadata: %w", ErrDamaged, err)
	}
	var sum Sum
	if sum.addAll(list); sum != want {
		return nil, fmt.Errorf("%w: frame digests: sum is %s, recorded %s", ErrDamaged, sum, want)
	}
	r.frames = list
	return list, nil
}

// frameDigestsAt is where their skippable frame begins.
func (r *Reader) frameDigestsAt() int64 {
	return r.digestsAt() + r.meta.PageCount*digestBytes + r.meta.digestFrames()*(seekable.SkipHeaderBytes+checksumBytes)
}

// compareFrame compares the digest of stored frame i with that in list.
func (r *Reader) compareFrame(list []byte, i int64, d Digest) error {
	if !bytes.Equal(d[:], list[i*digestBytes:(i+1)*digestBytes]) {
		return fmt.Errorf("%w: %s: digest of its stored bytes", ErrDamaged, r.where(i))
	}
	return nil
}
