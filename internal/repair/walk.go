package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"example.com/snapd/internal/sqlitefile"
)

// maxDepth is SQLite's bound of a tree's depth (BTCURSOR_MAX_DEPTH).
const maxDepth = 20

// pageOwner says what a page belongs to.
type pageOwner byte

const (
	ownerNone pageOwner = iota
	ownerTable
	ownerOverflow // of a table
	ownerIndex
	ownerFree
	ownerSQLite // pointer map and lock page
)

// walk visits the entries of one tree in the order of the tree, read from its pages and
// not by SQLite: a damaged page does not keep others from being read.
type walk struct {
	*source
	rowids  bool      // a table that has them
	lenient bool      // what is damaged is left out; else it ends the walk
	owner   pageOwner // that its pages get
	visit   func(rowid int64, payload []byte) error
	leaf    func(after int64) // when not nil, before each leaf page: its rowids are higher

	entries  int64
	last     int64 // rowid
	bound    int64 // key of the last interior cell: rowids after it are higher
	bounded  bool  // there was one
	disorder bool  // rowids do not rise
	// trouble is the first thing that was left out, or that leaves it open whether
	// all entries are there.
	trouble error

	pages   [maxDepth + 1][]byte
	leaves  int // their depth
	payload []byte
	zeroes  int // bytes of the payload on a last overflow page that is zero
}

// from walks the tree with that root.
func (w *walk) from(ctx context.Context, root uint32) error {
	w.leaves, w.bounded = -1, false
	return w.page(ctx, root, 0)
}

// damaged ends a strict walk. A lenient one notes it and goes on.
func (w *walk) damaged(n uint32, err error) error {
	err = fmt.Errorf("page %d: %w", n, err)
	if !malformed(err) {
		return err
	}
	w.note(err)
	if w.lenient {
		return nil
	}
	return err
}

func (w *walk) note(err error) {
	if w.trouble == nil {
		w.trouble = err
	}
}

// malformed reports whether an error says that the database is damaged. Others say that it
// could not be read.
func malformed(err error) bool {
	return errors.Is(err, sqlitefile.ErrMalformed) || errors.Is(err, io.ErrUnexpectedEOF)
}

func bad(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, sqlitefile.ErrMalformed)...)
}

func (w *walk) page(ctx context.Context, n uint32, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth || !w.take(n, w.owner) {
		return w.damaged(n, bad("it belongs to two places"))
	}
	if w.pages[depth] == nil {
		w.pages[depth] = make([]byte, w.PageSize)
	}
	page, err := w.BTree(n, w.pages[depth])
	if err == nil && page.Type().Table() != w.rowids {
		err = bad("it is of a tree of another kind")
	}
	if err != nil {
		return w.damaged(n, err)
	}
	if err := page.Account(); errors.Is(err, sqlitefile.ErrOverlap) && !w.lenient {
		return w.damaged(n, err)
	} else if err != nil {
		w.note(fmt.Errorf("page %d: %w", n, err))
	}
	if page.Type().Leaf() {
		if w.leaves < 0 {
			w.leaves = depth
		}
		if w.leaf != nil {
			after := int64(math.MinInt64)
			if w.bounded {
				after = w.bound
			}
			w.leaf(after)
		}
		if depth != w.leaves || depth > 0 && page.Cells() == 0 {
			w.note(fmt.Errorf("page %d: %w", n, bad("it is an empty leaf, or at another depth than others")))
		}
	}
	for i := range page.Cells() {
		cell, err := page.Cell(i)
		if err != nil {
			if err := w.damaged(n, err); err != nil {
				return err
			}
			continue
		}
		if !page.Type().Leaf() {
			if err := w.page(ctx, cell.Child, depth+1); err != nil {
				return err
			}
			w.key(n, page, cell.RowID)
		}
		if page.Type() != sqlitefile.TableInterior {
			if err := w.entry(n, cell); err != nil {
				return err
			}
		}
	}
	if !page.Type().Leaf() {
		return w.page(ctx, page.RightChild(), depth+1)
	}
	return nil
}

// key holds the key of an interior cell against the rows before it: a leaf that has higher ones is not
// the one that was there.
func (w *walk) key(n uint32, page sqlitefile.Page, key int64) {
	if page.Type() != sqlitefile.TableInterior {
		return
	}
	if w.entries > 0 && w.last > key {
		w.note(fmt.Errorf("page %d: %w", n, bad("row %d is where none comes after row %d", w.last, key)))
	}
	w.bound, w.bounded = key, true
}

// entry visits a cell.
func (w *walk) entry(n uint32, c sqlitefile.Cell) error {
	payload, err := w.whole(c)
	if err == nil {
		var r sqlitefile.Record
		if r, err = sqlitefile.ParseRecord(payload); err == nil && r.Size() != int64(len(payload)) {
			err = bad("a record of %d bytes in %d", r.Size(), len(payload))
		}
		if err == nil && w.zeroes > 0 {
			err = zeroedText(r, w.zeroes)
		}
	}
	if err != nil {
		return w.damaged(n, err)
	}
	if w.rowids && w.entries > 0 && c.RowID <= w.last {
		w.disorder = true
		w.note(fmt.Errorf("page %d: %w", n, bad("row %d comes after row %d", c.RowID, w.last)))
	}
	if w.rowids && w.bounded && c.RowID <= w.bound {
		w.note(fmt.Errorf("page %d: %w", n, bad("row %d is where all come after row %d", c.RowID, w.bound)))
	}
	w.entries, w.last = w.entries+1, c.RowID
	return w.visit(c.RowID, payload)
}

// zeroedText is an error where the last n bytes of a record, all of a page that is zero, are of a
// text. Such a page ends a chain as a sound one does.
func zeroedText(r sqlitefile.Record, n int) error {
	for i := r.Columns() - 1; i >= 0 && n > 0; i-- {
		v, err := r.Value(i)
		if err != nil {
			return err
		}
		switch v.Kind {
		case sqlitefile.Text:
			if len(v.Bytes) > 0 && isZero(v.Bytes[max(0, len(v.Bytes)-n):]) {
				return bad("the last overflow page of a text is zero")
			}
			n -= len(v.Bytes)
		case sqlitefile.Blob:
			n -= len(v.Bytes)
		case sqlitefile.Integer, sqlitefile.Real:
			n -= 8 // at most
		}
	}
	return nil
}

// whole returns the payload of a cell. It is good until the next one.
func (w *walk) whole(c sqlitefile.Cell) ([]byte, error) {
	w.zeroes = 0
	if int64(len(c.Local)) == c.Size {
		return c.Local, nil
	}
	room := int64(w.Usable - 4)
	pages := (c.Size - int64(len(c.Local)) + room - 1) / room
	if pages > int64(w.Pages) {
		return nil, bad("a payload of %d bytes", c.Size)
	}
	w.payload = append(w.payload[:0], c.Local...)
	next := c.Overflow
	for page, err := range w.Overflow(c.Overflow, pages) {
		if err != nil {
			return nil, err
		}
		owner := w.owner
		if owner == ownerTable {
			owner = ownerOverflow
		}
		if !w.take(page.N, owner) {
			return nil, bad("overflow page %d belongs to two places", page.N)
		}
		before := len(w.payload)
		w.payload = append(w.payload, page.Content[:min(int64(len(page.Content)), c.Size-int64(len(w.payload)))]...)
		if next = page.Next; next == 0 && isZero(page.Content) {
			w.zeroes = len(w.payload) - before
		}
	}
	if int64(len(w.payload)) < c.Size {
		return nil, bad("a payload of %d bytes, of which %d are there", c.Size, len(w.payload))
	}
	if next != 0 {
		return nil, bad("a chain of overflow pages goes on at page %d", next)
	}
	return w.payload, nil
}
