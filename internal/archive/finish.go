package archive

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"example.com/snapd/internal/seekable"
)

// Finish writes the rest of the image, then page digests, metadata and
// seek table. It does not close or sync the destination. An image that is not
// a whole number of pages is an error, and so is any earlier one of Write's.
func (w *Writer) Finish(facts Facts) (Info, error) {
	if w.ended {
		return Info{}, errors.Join(w.failure(), errEnded)
	}
	w.drain()
	w.stop()
	info, err := Info{}, w.failure()
	if err == nil {
		info, err = w.finish(facts)
	}
	if errClose := w.spool.close(); err == nil {
		err = errClose
	}
	if err != nil {
		return Info{}, w.fail(err)
	}
	w.info = info
	return info, nil
}

// Sum ends the image, and returns the sum of its page digests: all that is left to do is Finish.
func (w *Writer) Sum() (Sum, error) {
	w.drain()
	return w.spool.sum, w.failure()
}

func (w *Writer) finish(facts Facts) (Info, error) {
	if w.o.PageSize > 0 && w.total%int64(w.o.PageSize) != 0 {
		return Info{}, fmt.Errorf("finish archive: %d bytes are not a whole number of pages of %d", w.total, w.o.PageSize)
	}
	m := metadata{
		PageSize:    w.o.PageSize,
		FrameBytes:  w.o.FrameBytes,
		PageSeed:    w.o.Seed.String(),
		Sum:         w.spool.sum.Digits(),
		ImageBLAKE3: cmp.Or(w.imageBLAKE3, hex.EncodeToString(w.imageHash.Sum(nil))),
		Level:       w.o.Level,
		Facts:       facts,
	}
	if w.o.PageSize > 0 {
		m.PageCount = w.total / int64(w.o.PageSize)
	}
	if len(w.frameDigests) > 0 {
		m.FramesSum = w.frameSum().Digits()
	}
	m.Facts.CreatedAt = m.Facts.CreatedAt.UTC()
	if err := m.check(); err != nil {
		return Info{}, fmt.Errorf("finish archive: %w", err)
	}
	var extra []uint32 // sizes of the skippable frames
	err := w.spool.writeFrames(writerFunc(w.put), m.PageCount, func(n int) { extra = append(extra, uint32(n)) })
	if err != nil {
		return Info{}, err
	}
	if m.FramesSum != "" {
		list := appendFrameDigests(w.frameDigests)
		if err := w.put(list); err != nil {
			return Info{}, err
		}
		extra = append(extra, uint32(len(list)))
	}
	doc, err := json.Marshal(m)
	if err != nil {
		return Info{}, fmt.Errorf("finish archive: metadata: %w", err)
	}
	if len(doc) > maxMetadata {
		return Info{}, fmt.Errorf("finish archive: %w: %d bytes of metadata, at most %d: shorten the note", ErrLimit, len(doc), maxMetadata)
	}
	frame := appendMetadataFrame(nil, doc, FormatVersion)
	if err := w.put(frame); err != nil {
		return Info{}, err
	}
	extra = append(extra, uint32(len(frame)))
	if err := w.writeSeekTable(m, extra); err != nil {
		return Info{}, err
	}
	m, err = decodeMetadata(doc) // so that Info is what Open will say
	m.version = FormatVersion
	return m.info(w.written), err
}

// frameSum is the sum of the frame digests.
func (w *Writer) frameSum() (s Sum) {
	s.addAll(w.frameDigests)
	return s
}

func (w *Writer) writeSeekTable(m metadata, extra []uint32) error {
	frames := int64(len(w.sizes) + len(extra))
	table := make([]byte, 0, seekable.TableBytes(frames))
	table = seekable.AppendTableHeader(table, frames)
	left := m.imageBytes()
	for _, size := range w.sizes {
		n := min(left, int64(m.FrameBytes))
		table = seekable.AppendEntry(table, size, uint32(n))
		left -= n
	}
	for _, size := range extra {
		table = seekable.AppendEntry(table, size, 0)
	}
	return w.put(seekable.AppendFooter(table, uint32(frames)))
}

type writerFunc func([]byte) error

func (f writerFunc) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
