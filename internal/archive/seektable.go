package archive

import (
	"encoding/binary"
	"fmt"
	"io"

	"example.com/snapd/internal/seekable"
)

// seekTable is where the footer says that the seek table is.
type seekTable struct {
	off        int64 // of its frame
	frames     int64 // entries
	descriptor byte
}

// readFooter finds the seek table, and proves the frame around it. Tables with
// checksums are found as well, to distinguish other programs' files from damaged ones.
func readFooter(r io.ReaderAt, size int64) (t seekTable, err error) {
	if size < seekable.TableBytes(1)+seekable.SkipHeaderBytes+int64(trailerBytes) {
		return t, endMissing(r, size)
	}
	var b [seekable.FooterBytes]byte
	if err := readFull(r, b[:], size-int64(len(b))); err != nil {
		return t, fmt.Errorf("read footer: %w", err)
	}
	if binary.LittleEndian.Uint32(b[5:]) != seekable.MagicEnd {
		return t, endMissing(r, size)
	}
	t.frames, t.descriptor = int64(binary.LittleEndian.Uint32(b[:])), b[4]
	payload := t.frames*seekable.EntryBytes + seekable.FooterBytes
	if t.descriptor&seekable.Checksums != 0 {
		payload += t.frames * seekable.ChecksumBytes
	}
	t.off = size - payload - seekable.SkipHeaderBytes
	if t.frames < 1 || t.off < 0 {
		return t, fmt.Errorf("%w: seek table of %d frames in %d bytes", ErrDamaged, t.frames, size)
	}
	var header [seekable.SkipHeaderBytes]byte
	if err := readFull(r, header[:], t.off); err != nil {
		return t, fmt.Errorf("read seek table: %w", err)
	}
	return t, checkSkipHeader(header[:], seekable.MagicTable, payload, "seek table")
}

// endMissing distinguishes a piece of an archive from something else by its start.
func endMissing(r io.ReaderAt, size int64) error {
	if size == 0 {
		return fmt.Errorf("%w: the file is empty", ErrTruncated)
	}
	var b [4]byte
	if size >= int64(len(b)) {
		if err := readFull(r, b[:], 0); err != nil {
			return fmt.Errorf("read start: %w", err)
		}
		if m := binary.LittleEndian.Uint32(b[:]); m == seekable.MagicZstd || m == magicMetadata {
			return fmt.Errorf("%w or its end is damaged: no seek table after %d bytes", ErrTruncated, size)
		}
	}
	return fmt.Errorf("%w: no seek table at the end of %d bytes", ErrNotArchive, size)
}

// readSeekTable proves that the entries are what meta says, and that they and
// the table account for every byte of the file before and after off.
func readSeekTable(r io.ReaderAt, off int64, meta metadata, metaFrame int64) (offsets []int64, err error) {
	frames := meta.frames()
	entries := frames + meta.otherFrames()
	in := io.NewSectionReader(r, off, seekable.TableBytes(entries))
	offsets = make([]int64, 0, frames+1)
	at := int64(0)
	buf := make([]byte, min(entries, 1<<13)*seekable.EntryBytes)
	for i := int64(0); i < entries; {
		b := buf[:min(int64(len(buf)), (entries-i)*seekable.EntryBytes)]
		if err := readFull(in, b, seekable.SkipHeaderBytes+i*seekable.EntryBytes); err != nil {
			return nil, fmt.Errorf("read seek table: %w", err)
		}
		for ; len(b) > 0; b, i = b[seekable.EntryBytes:], i+1 {
			compressed := int64(binary.LittleEndian.Uint32(b))
			decompressed := int64(binary.LittleEndian.Uint32(b[4:]))
			if err := checkEntry(meta, i, compressed, decompressed, metaFrame); err != nil {
				return nil, err
			}
			if i <= frames {
				offsets = append(offsets, at)
			}
			at += compressed
		}
	}
	if at != off {
		return nil, fmt.Errorf("%w: seek table accounts for %d bytes before it, there are %d", ErrDamaged, at, off)
	}
	return offsets, nil
}

func checkEntry(meta metadata, i, compressed, decompressed, metaFrame int64) error {
	frames, digestFrames := meta.frames(), meta.digestFrames()
	var wantImage, exact int64
	switch {
	case i < frames:
		wantImage = meta.frameImageBytes(i)
		if compressed > seekable.Bound(int(wantImage)) {
			return fmt.Errorf("%w: seek table: frame %d has %d bytes for %d of image", ErrDamaged, i, compressed, wantImage)
		}
		exact = compressed
	case i < frames+digestFrames:
		first := (i - frames) * digestsPerFrame
		exact = digestFrameBytes(min(meta.PageCount-first, digestsPerFrame))
	case i < frames+meta.otherFrames()-1:
		exact = frameDigestsBytes(frames)
	default:
		exact = metaFrame
	}
	if decompressed != wantImage || compressed != exact {
		return fmt.Errorf("%w: seek table: entry %d has sizes %d and %d, not %d and %d", ErrDamaged, i, compressed, decompressed, exact, wantImage)
	}
	return nil
}

// frameImageBytes is how much of the image frame i holds.
func (m metadata) frameImageBytes(i int64) int64 {
	return min(int64(m.FrameBytes), m.imageBytes()-i*int64(m.FrameBytes))
}
