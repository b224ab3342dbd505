package sqlitefile

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
)

// File reads a database image page by page.
type File struct {
	R        io.ReaderAt
	PageSize int    // bytes
	Usable   int    // bytes of a page that are SQLite's
	Pages    uint32 // in the image
}

// Page fills b, of PageSize bytes, with page n. A page that is not in the image is
// ErrMalformed; what the image lacks is io.ErrUnexpectedEOF.
func (f *File) Page(n uint32, b []byte) error {
	if n == 0 || n > f.Pages {
		return fmt.Errorf("page %d of %d: %w", n, f.Pages, ErrMalformed)
	}
	if _, err := io.ReadFull(io.NewSectionReader(f.R, (int64(n)-1)*int64(f.PageSize), int64(f.PageSize)), b[:f.PageSize]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read page %d: %w", n, err)
	}
	return nil
}

// BTree reads page n into b and returns it as a b-tree page.
func (f *File) BTree(n uint32, b []byte) (Page, error) {
	if err := f.Page(n, b); err != nil {
		return Page{}, err
	}
	return ParsePage(b, n, f.Usable)
}

// Overflow follows the overflow pages from first on, at most max of them, and ends
// where the chain does, with a page's number and its bytes, which are good until the
// next one. A page that cannot be had is the last, with its error.
func (f *File) Overflow(first uint32, max int64) iter.Seq2[OverflowPage, error] {
	return func(yield func(OverflowPage, error) bool) {
		b := make([]byte, f.PageSize)
		for n := first; n != 0 && max > 0; max-- {
			if err := f.Page(n, b); err != nil {
				yield(OverflowPage{N: n}, err)
				return
			}
			next := binary.BigEndian.Uint32(b)
			if !yield(OverflowPage{n, next, b[4:f.Usable]}, nil) {
				return
			}
			n = next
		}
	}
}

// OverflowPage is a page of an overflow chain.
type OverflowPage struct {
	N, Next uint32 // Next is 0 for the last
	Content []byte // to the end of the page; the last one's is not all payload
}

// Payload returns the whole payload of a cell, from its page and its overflow pages. One
// larger than limit bytes, or than the image, is ErrMalformed; one whose chain ends too
// early is returned as far as it goes, with ErrMalformed.
func (f *File) Payload(c Cell, limit int64) ([]byte, error) {
	if int64(len(c.Local)) == c.Size {
		return c.Local, nil
	}
	each := int64(f.Usable - 4)
	pages := (c.Size - int64(len(c.Local)) + each - 1) / each
	if c.Size > limit || pages > int64(f.Pages) {
		return c.Local, fmt.Errorf("payload of %d bytes: %w", c.Size, ErrMalformed)
	}
	b := append(make([]byte, 0, len(c.Local)), c.Local...) // grows as the pages are found
	for page, err := range f.Overflow(c.Overflow, pages) {
		if err != nil {
			return b, err
		}
		b = append(b, page.Content[:min(int64(len(page.Content)), c.Size-int64(len(b)))]...)
	}
	if int64(len(b)) < c.Size {
		return b, fmt.Errorf("payload of %d bytes: %d found: %w", c.Size, len(b), ErrMalformed)
	}
	return b, nil
}

// Row is a row of a table with rowids.
type Row struct {
	ID     int64
	Record Record
}

// Rows returns the rows on a leaf page of a table, in the order of the page and
// without regard to its tree, each with the error that kept it from being read; the next
// one may be whole. Rows larger than limit bytes are errors. The values are good
// until the page changes.
func (f *File) Rows(p Page, limit int64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if p.Type() != TableLeaf {
			return
		}
		for i := range p.Cells() {
			if !yield(f.row(p, i, limit)) {
				return
			}
		}
	}
}

func (f *File) row(p Page, i int, limit int64) (Row, error) {
	c, err := p.Cell(i)
	if err != nil {
		return Row{ID: c.RowID}, err
	}
	payload, err := f.Payload(c, limit)
	if err != nil {
		return Row{ID: c.RowID}, fmt.Errorf("row %d: %w", c.RowID, err)
	}
	r, err := ParseRecord(payload)
	if err == nil && r.Size() > int64(len(payload)) {
		err = fmt.Errorf("record of %d bytes in %d: %w", r.Size(), len(payload), ErrMalformed)
	}
	if err != nil {
		return Row{ID: c.RowID}, fmt.Errorf("row %d: %w", c.RowID, err)
	}
	return Row{c.RowID, r}, nil
}
