package seekable

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrFrame says that bytes are not the zstd frame that they should be.
var ErrFrame = errors.New("zstd frame")

// CheckFrame proves, without decompressing, that b is exactly one zstd
// frame with a content checksum, no dictionary, and content bytes of content
// by its header (RFC 8878 §3.1.1). What the blocks hold is the decoder's
// matter.
func CheckFrame(b []byte, content int) error {
	if len(b) < 6 || binary.LittleEndian.Uint32(b) != MagicZstd {
		return fmt.Errorf("%w: does not begin here", ErrFrame)
	}
	descriptor := b[4]
	const singleSegment, unused, reserved, checksum, dictionary = 1 << 5, 1 << 4, 1 << 3, 1 << 2, 3
	if descriptor&(unused|reserved|dictionary) != 0 || descriptor&checksum == 0 {
		return fmt.Errorf("%w: descriptor %#02x", ErrFrame, descriptor)
	}
	b = b[5:]
	if descriptor&singleSegment == 0 {
		b = b[1:] // window descriptor
	}
	field := b
	b, size, ok := contentSize(b, descriptor)
	if !ok {
		return fmt.Errorf("%w: no content size in %d bytes of header", ErrFrame, len(field))
	}
	if size != uint64(content) {
		return fmt.Errorf("%w: holds %d bytes, not %d", ErrFrame, size, content)
	}
	b, err := skipBlocks(b)
	if err != nil {
		return err
	}
	if len(b) != 4 {
		return fmt.Errorf("%w: ends %d bytes early", ErrFrame, len(b)-4)
	}
	return nil
}

// contentSize reads the Frame_Content_Size field, RFC 8878 §3.1.1.1.4.
func contentSize(b []byte, descriptor byte) (rest []byte, size uint64, ok bool) {
	n := 1 << (descriptor >> 6)
	if n == 1 && descriptor&(1<<5) == 0 {
		return b, 0, false
	}
	if len(b) < n {
		return b, 0, false
	}
	switch n {
	case 1:
		size = uint64(b[0])
	case 2:
		size = uint64(binary.LittleEndian.Uint16(b)) + 256
	case 4:
		size = uint64(binary.LittleEndian.Uint32(b))
	case 8:
		size = binary.LittleEndian.Uint64(b)
	}
	return b[n:], size, true
}

// skipBlocks returns what follows the last block, RFC 8878 §3.1.1.2.
func skipBlocks(b []byte) ([]byte, error) {
	for {
		if len(b) < 3 {
			return nil, fmt.Errorf("%w: cut between blocks", ErrFrame)
		}
		header := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		last, kind, size := header&1 != 0, header>>1&3, int(header>>3)
		const rle, reserved = 1, 3
		switch kind {
		case rle:
			size = 1
		case reserved:
			return nil, fmt.Errorf("%w: reserved block type", ErrFrame)
		}
		b = b[3:]
		if len(b) < size {
			return nil, fmt.Errorf("%w: cut within a block", ErrFrame)
		}
		b = b[size:]
		if last {
			return b, nil
		}
	}
}
