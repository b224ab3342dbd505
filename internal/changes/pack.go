package changes

// packer writes captures at the end of a segment, with the pages of several of them in one frame: captures that follow each
// other write much the same pages again, and compress well together.
//
//	+-------+-------+-------+-------+-------+-------+-------+
//	| index | pages | index | index | index | pages | index | …
//	+-------+-------+-------+-------+-------+-------+-------+
//	    1    1, 2, 3    2       3       3       3, 4    4       captures
type packer struct {
	w      *partWriter
	list   []captured // those that are written
	chunks []chunk    // whose pages w.content has
	begin  int64      // of the capture whose first chunks are written, 0 for none
}

// chunk is the pages of a capture that are in one frame.
type chunk struct {
	entries []byte
	of      *Capture // with the last chunk of a capture
}

// page adds a page to the capture that is being written.
func (k *packer) page(e entry, content []byte) error {
	if len(k.w.content) > 0 && len(k.w.content)+len(content) > partBytes {
		if err := k.flush(); err != nil {
			return err
		}
	}
	if n := len(k.chunks); n == 0 || k.chunks[n-1].of != nil {
		k.chunks = append(k.chunks, chunk{})
	}
	c := &k.chunks[len(k.chunks)-1]
	c.entries = append(byteOrder.AppendUint32(c.entries, e.pgno), e.digest[:]...)
	k.w.content = append(k.w.content, content...)
	return nil
}

// end ends the capture.
func (k *packer) end(c Capture) {
	if n := len(k.chunks); n == 0 || k.chunks[n-1].of != nil {
		k.chunks = append(k.chunks, chunk{}) // it has no pages, or all are written
	}
	k.chunks[len(k.chunks)-1].of = &c
}

// flush writes what was gathered.
func (k *packer) flush() error {
	w := k.w
	size := w.head.PageSize
	pages, done := len(w.content)/size, 0
	var frame *shared
	for _, c := range k.chunks {
		doc := partDocument{Capture: c.of}
		if k.begin == 0 {
			k.begin = w.at
		}
		if c.of != nil {
			doc.Begin = k.begin
		}
		n := len(c.entries) / entryBytes
		w.compressed, w.entries = w.compressed[:0], c.entries
		switch {
		case n == 0:
		case frame == nil:
			if n < pages {
				doc.Pages = pages
			}
			w.compressed = w.enc.EncodeAll(w.content, w.compressed)
		default:
			in := *frame
			in.First = done
			doc.Shared = &in
		}
		if err := w.put(doc); err != nil {
			return err
		}
		if len(w.compressed) > 0 {
			frame = &shared{At: w.at - int64(len(w.compressed)), Bytes: int64(len(w.compressed)), Pages: pages}
		}
		if done += n; c.of != nil {
			k.list = append(k.list, captured{*c.of, k.begin, w.at})
			k.begin = 0
		}
	}
	k.chunks, w.content = k.chunks[:0], w.content[:0]
	return nil
}
