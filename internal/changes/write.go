package changes

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/seekable"
)

// partWriter writes captures at the end of a segment.
type partWriter struct {
	w    io.WriterAt
	at   int64 // where the next part begins
	head Head
	seed archive.Seed
	enc  *seekable.Encoder

	content, compressed, index []byte // kept for the next part
	entries                    []byte
}

// capture writes a capture's parts.
func (w *partWriter) capture(ctx context.Context, c Capture, pages []uint32, read func(pgno uint32, page []byte) error) error {
	size := w.head.PageSize
	perPart := max(partBytes/size, 1)
	begin := w.at
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(perPart, len(pages))
		w.content, w.entries = w.content[:0], w.entries[:0]
		for _, pgno := range pages[:n] {
			at := len(w.content)
			w.content = append(w.content, make([]byte, size)...)
			page := w.content[at:]
			if err := read(pgno, page); err != nil {
				return fmt.Errorf("read page %d: %w", pgno, err)
			}
			digest := archive.PageDigest(w.seed, int64(pgno), page)
			w.entries = append(byteOrder.AppendUint32(w.entries, pgno), digest[:]...)
		}
		doc := partDocument{}
		if pages = pages[n:]; len(pages) == 0 {
			doc.Capture, doc.Begin = &c, begin
		}
		if err := w.part(doc); err != nil {
			return err
		}
		if len(pages) == 0 {
			return nil
		}
	}
}

// part writes one part of the content and entries that are gathered.
func (w *partWriter) part(doc partDocument) error {
	w.compressed = w.compressed[:0]
	if len(w.content) > 0 {
		w.compressed = w.enc.EncodeAll(w.content, w.compressed)
	}
	return w.put(doc)
}

// put writes one part that is compressed, and its index.
func (w *partWriter) put(doc partDocument) (err error) {
	doc.Bytes = int64(len(w.compressed))
	if w.index, err = appendDocument(w.index[:0], magicPart, w.at, doc, w.entries); err != nil {
		return err
	}
	for _, b := range [][]byte{w.index, w.compressed} {
		if _, err := w.w.WriteAt(b, w.at); err != nil {
			return err
		}
		w.at += int64(len(b))
	}
	return nil
}
