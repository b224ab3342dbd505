// Package seekable has the parts of zstd's seekable format (contrib/seekable_format in its
// source): independent zstd frames, skippable frames for everything else, and at the end a
// skippable frame with the sizes of all frames before it. Stock zstd reads the first kind,
// and skips the others. All integers are little-endian.
package seekable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

const (
	MagicZstd  = 0xFD2FB528
	MagicTable = 0x184D2A5E // of the skippable frame with the seek table
	MagicEnd   = 0x8F92EAB1 // last bytes of the file

	SkipHeaderBytes = 8 // magic, payload size
	EntryBytes      = 8 // compressed size, decompressed size
	FooterBytes     = 9 // number of frames, descriptor, magic

	// What other programs' seek tables may have; ours do not.
	Checksums     = 1 << 7 // in the descriptor
	ChecksumBytes = 4      // more in every entry
)

// Encoder and Decoder are the library's.
type (
	Encoder = zstd.Encoder
	Decoder = zstd.Decoder
)

// Fastest is the level that costs the least time.
const Fastest = zstd.SpeedFastest

// MaxFrameBytes is the most content that a frame of ours has.
const MaxFrameBytes = 16 << 20

// Bound is more than any zstd encoder makes of n bytes.
func Bound(n int) int64 { return int64(n) + int64(n)>>7 + 1024 }

// NewEncoder returns an encoder of frames with up to frameBytes of content, by EncodeAll.
func NewEncoder(level zstd.EncoderLevel, frameBytes int) (*zstd.Encoder, error) {
	window := zstd.MinWindowSize
	for window < frameBytes {
		window *= 2
	}
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window),
		zstd.WithSingleSegment(true), // so every header has the content size
		zstd.WithEncoderCRC(true))
}

// NewDecoder returns a decoder of such frames, by DecodeAll, which is safe for concurrent use.
func NewDecoder() (*zstd.Decoder, error) { return newDecoder(false) }

// NewProvenDecoder is NewDecoder for frames whose stored bytes are proven: it leaves their checksums out.
func NewProvenDecoder() (*zstd.Decoder, error) { return newDecoder(true) }

func newDecoder(proven bool) (*zstd.Decoder, error) {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderMaxMemory(MaxFrameBytes),
		zstd.WithDecodeAllCapLimit(true),
		zstd.IgnoreChecksum(proven))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return d, nil
}

// room is what a buffer has behind the content: with it the decoder copies whole words, and not to the byte, a block before the end, too.
const room = 64

// Decode decompresses b, which has to be exactly one frame with so many bytes of content, into
// a buffer that it may reuse.
func Decode(d *zstd.Decoder, b, buf []byte, content int) ([]byte, error) {
	if err := CheckFrame(b, content); err != nil {
		return nil, err
	}
	if cap(buf) < content+room {
		buf = make([]byte, 0, content+room)
	}
	out, err := d.DecodeAll(b, buf[:0:content+room])
	if err != nil {
		return nil, err
	}
	if len(out) != content {
		return nil, fmt.Errorf("%w: %d bytes of content, not %d", ErrFrame, len(out), content)
	}
	return out, nil
}

// NewPrefixDecoder returns a decoder for DecodePrefix, which is used by one goroutine at a time.
func NewPrefixDecoder() (*zstd.Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFrameBytes), zstd.IgnoreChecksum(true))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return d, nil
}

// DecodePrefix is Decode of the first n bytes of the content only: what follows them is not decompressed, and the checksum of the whole
// not proven.
func DecodePrefix(d *zstd.Decoder, b, buf []byte, content, n int) ([]byte, error) {
	if err := CheckFrame(b, content); err != nil {
		return nil, err
	}
	if err := d.Reset(bytes.NewReader(b)); err != nil {
		return nil, err
	}
	buf = slices.Grow(buf[:0], n)[:n]
	if _, err := io.ReadFull(d, buf); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return buf, nil
}

// AppendSkipHeader begins a skippable frame.
func AppendSkipHeader(b []byte, magic uint32, payload int) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	return binary.LittleEndian.AppendUint32(b, uint32(payload))
}

// CheckSkipHeader proves that b begins a skippable frame of that kind and size.
func CheckSkipHeader(b []byte, magic uint32, payload int64, what string) error {
	if got := binary.LittleEndian.Uint32(b); got != magic {
		return fmt.Errorf("%s begins with %#x", what, got)
	}
	if got := int64(binary.LittleEndian.Uint32(b[4:])); got != payload {
		return fmt.Errorf("%s says %d bytes, and has %d", what, got, payload)
	}
	return nil
}

// TableBytes is the size of the seek table's whole frame.
func TableBytes(frames int64) int64 {
	return SkipHeaderBytes + frames*EntryBytes + FooterBytes
}

// AppendTableHeader begins the seek table of so many frames: an entry for each follows, and
// the footer.
func AppendTableHeader(b []byte, frames int64) []byte {
	return AppendSkipHeader(b, MagicTable, int(TableBytes(frames)-SkipHeaderBytes))
}

// AppendEntry appends the sizes of a frame; a skippable one has no content.
func AppendEntry(b []byte, compressed, content uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, compressed)
	return binary.LittleEndian.AppendUint32(b, content)
}

// AppendFooter ends the seek table.
func AppendFooter(b []byte, frames uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, frames)
	b = append(b, 0) // descriptor: no checksums, the frames have their own
	return binary.LittleEndian.AppendUint32(b, MagicEnd)
}
