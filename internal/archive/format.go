package archive

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"
)

// The file, in order (docs/archive-format.md has the byte tables):
//
//	data frame …      one zstd frame for every FrameBytes of image
//	digest frame …    skippable: page digests, digestsPerFrame in all but the last
//	metadata frame    skippable: JSON and a trailer of fixed size
//	seek table        skippable: sizes of all frames above, and the footer
//
// All integers are little-endian.
const (
	magicZstd      = 0xFD2FB528
	magicDigests   = 0x184D2A5B
	magicMetadata  = 0x184D2A5C
	magicSeekTable = 0x184D2A5E // contrib/seekable_format
	magicSeekable  = 0x8F92EAB1 // contrib/seekable_format: last bytes of the file

	skipHeaderBytes = 8 // magic, payload size
	seekEntryBytes  = 8 // compressed size, decompressed size
	seekFooterBytes = 9 // number of frames, descriptor, magic

	// What other programs' seek tables may have; ours do not.
	seekChecksums     = 1 << 7 // in the descriptor
	seekChecksumBytes = 4      // more in every entry

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
	maxMetadata   = 1 << 20    // bytes of JSON
	maxFrameBytes = 16 << 20   // of image in one frame
	maxFrames     = 1 << 24    // 16 TiB of image in frames of 1 MiB
	maxPages      = 0xFFFFFFFE // SQLite's own limit
)

// compressedBound is more than any zstd encoder makes of n bytes.
func compressedBound(n int) int64 { return int64(n) + int64(n)>>7 + 1024 }

func appendSkipHeader(b []byte, magic uint32, payload int) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	return binary.LittleEndian.AppendUint32(b, uint32(payload))
}

// checkSkipHeader proves that b starts a skippable frame of that kind and size.
func checkSkipHeader(b []byte, magic uint32, payload int64, what string) error {
	if got := binary.LittleEndian.Uint32(b); got != magic {
		return fmt.Errorf("%w: %s begins with %#x", ErrDamaged, what, got)
	}
	if got := int64(binary.LittleEndian.Uint32(b[4:])); got != payload {
		return fmt.Errorf("%w: %s says %d bytes, and has %d", ErrDamaged, what, got, payload)
	}
	return nil
}

// appendMetadataFrame appends the whole metadata frame around the JSON.
func appendMetadataFrame(b, json []byte, version uint32) []byte {
	b = appendSkipHeader(b, magicMetadata, len(json)+trailerBytes)
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

// seekTableBytes is the size of the seek table's whole frame.
func seekTableBytes(frames int64) int64 {
	return skipHeaderBytes + frames*seekEntryBytes + seekFooterBytes
}

func appendSeekEntry(b []byte, compressed, decompressed uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, compressed)
	return binary.LittleEndian.AppendUint32(b, decompressed)
}

func appendSeekFooter(b []byte, frames uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, frames)
	b = append(b, 0) // descriptor: no checksums, the frames have their own
	return binary.LittleEndian.AppendUint32(b, magicSeekable)
}
