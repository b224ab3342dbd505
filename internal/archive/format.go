package archive

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"

	"example.com/snapd/internal/seekable"
)

// The file, in order (docs/archive-format.md has the byte tables):
//
//	data frame …      one zstd frame for every FrameBytes of image
//	digest frame …    skippable: page digests, digestsPerFrame in all but the last
//	frame digests     skippable: a digest of each data frame as it is stored; version 2 has none
//	metadata frame    skippable: JSON and a trailer of fixed size
//	seek table        skippable: sizes of all frames above, and the footer
//
// All integers are little-endian.
const (
	magicDigests  = 0x184D2A5B
	magicMetadata = 0x184D2A5C
	magicFrames   = 0x184D2A5D

	blake3Bytes   = 32
	digestBytes   = 16 // of a page
	seedBytes     = 8
	checksumBytes = 8 // of a digest frame

	// trailerBytes: BLAKE3-256 of JSON, JSON length and version; the JSON
	// length; the version; trailerMagic. This layout is the same in every
	// version, so that an old program can name a newer version.
	trailerBytes = blake3Bytes + 4 + 4 + len(trailerMagic)
	trailerMagic = "SNAPDARC"

	// digestsPerFrame bounds the buffer that one digest frame needs (512 KiB).
	digestsPerFrame = 1 << 15
)

// Limits, checked before memory is allocated.
const (
	maxMetadata = 1 << 20    // bytes of JSON
	maxFrames   = 1 << 24    // 16 TiB of image in frames of 1 MiB
	maxPages    = 0xFFFFFFFE // SQLite's own limit
)

// checkSkipHeader is seekable.CheckSkipHeader, whose error is damage.
func checkSkipHeader(b []byte, magic uint32, payload int64, what string) error {
	if err := seekable.CheckSkipHeader(b, magic, payload, what); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// appendMetadataFrame appends the whole metadata frame around the JSON.
func appendMetadataFrame(b, json []byte, version uint32) []byte {
	b = seekable.AppendSkipHeader(b, magicMetadata, len(json)+trailerBytes)
	var tail [8]byte
	binary.LittleEndian.PutUint32(tail[:], uint32(len(json)))
	binary.LittleEndian.PutUint32(tail[4:], version)
	sum := trailerSum(json, tail[:])
	b = append(b, json...)
	b = append(b, sum[:]...)
	b = append(b, tail[:]...)
	return append(b, trailerMagic...)
}

func trailerSum(json, tail []byte) (sum [blake3Bytes]byte) {
	h := blake3.New()
	h.Write(json) // never fails, like every hash.Hash
	h.Write(tail)
	h.Sum(sum[:0])
	return sum
}
