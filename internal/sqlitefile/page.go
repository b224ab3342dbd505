package sqlitefile

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A b-tree page (§1.6). On page 1 the database header comes before it, and all
// offsets count from the start of that header.
//
//	+------+-----------+-------+---------+------------+-------------+
//	| type | freeblock | cells | content | fragmented | right child |   1, 2, 2, 2, 1 and 4 bytes;
//	+------+-----------+-------+---------+------------+-------------+   the last in interior pages only
//	| offsets of the cells, 2 bytes each |
//	+------------------------------------+
//	| unallocated                        |
//	+------------------------------------+
//	| cells, and freeblocks between them |   from content on; 0 is 65536
//	+------------------------------------+
//	| reserved bytes                     |
//	+------------------------------------+

// PageType is the type of a b-tree page.
type PageType byte

// The types of b-tree pages.
const (
	IndexInterior PageType = 0x02
	TableInterior PageType = 0x05
	IndexLeaf     PageType = 0x0a
	TableLeaf     PageType = 0x0d
)

// Valid reports whether there is such a type.
func (t PageType) Valid() bool {
	switch t {
	case IndexInterior, TableInterior, IndexLeaf, TableLeaf:
		return true
	}
	return false
}

// Leaf reports whether pages of the type have no children.
func (t PageType) Leaf() bool { return t == IndexLeaf || t == TableLeaf }

// Table reports whether pages of the type have rowids: those of tables other than
// WITHOUT ROWID, which are stored as indexes are.
func (t PageType) Table() bool { return t == TableInterior || t == TableLeaf }

func (t PageType) headerSize() int {
	if t.Leaf() {
		return 8
	}
	return 12
}

// Page is a b-tree page. Its bytes are borrowed, not copied.
type Page struct {
	b  []byte // without the reserved bytes
	at int    // where the page's header begins
}

// ParsePage returns b, page n of a database, as a b-tree page. usable are the bytes of
// a page that are SQLite's.
func ParsePage(b []byte, n uint32, usable int) (Page, error) {
	at := 0
	if n == 1 {
		at = HeaderSize
	}
	if usable < MinUsable || len(b) < usable {
		return Page{}, fmt.Errorf("page %d: %d bytes of %d: %w", n, len(b), usable, ErrMalformed)
	}
	if t := PageType(b[at]); !t.Valid() {
		return Page{}, fmt.Errorf("page %d: type %d is not a b-tree page's: %w", n, t, ErrMalformed)
	}
	return Page{b[:usable], at}, nil
}

// Type returns the page's type.
func (p Page) Type() PageType { return PageType(p.b[p.at]) }

// Cells returns the number of cells as the page states it, or as many as it has room
// for where it states more.
func (p Page) Cells() int {
	stated := int(binary.BigEndian.Uint16(p.b[p.at+3:]))
	return min(stated, (len(p.b)-p.firstPointer())/2)
}

// RightChild returns the last child of an interior page, 0 of a leaf.
func (p Page) RightChild() uint32 {
	if p.Type().Leaf() {
		return 0
	}
	return binary.BigEndian.Uint32(p.b[p.at+8:])
}

func (p Page) firstPointer() int { return p.at + p.Type().headerSize() }

// cellBytes returns what is on the page from the start of cell i on.
func (p Page) cellBytes(i int) ([]byte, error) {
	if i < 0 || i >= p.Cells() {
		return nil, fmt.Errorf("cell %d of %d: %w", i, p.Cells(), ErrMalformed)
	}
	off := int(binary.BigEndian.Uint16(p.b[p.firstPointer()+2*i:]))
	if off < p.firstPointer() || off+minCell > len(p.b) {
		return nil, fmt.Errorf("cell %d begins at byte %d: %w", i, off, ErrMalformed)
	}
	return p.b[off:], nil
}

// ErrOverlap is in the chain of an error about cells that have bytes in common.
var ErrOverlap = fmt.Errorf("cells overlap: %w", ErrMalformed)

// Account makes sure that cells, free blocks and fragments together are the page's content, and
// that no byte is of two of them: a cell that lost its place in the page shows as a gap.
func (p Page) Account() error {
	content := int(binary.BigEndian.Uint16(p.b[p.at+5:]))
	if content == 0 {
		content = MaxPageSize
	}
	stated := int(binary.BigEndian.Uint16(p.b[p.at+3:]))
	if stated != p.Cells() || content < p.firstPointer()+2*stated || content > len(p.b) {
		return fmt.Errorf("%d cells, and content from byte %d on: %w", stated, content, ErrMalformed)
	}
	type span struct{ at, end int }
	var used []span
	for i := range p.Cells() {
		c, err := p.Cell(i)
		if err != nil {
			return err
		}
		used = append(used, span{c.at, c.end})
	}
	byPlace := func(a, b span) int { return a.at - b.at }
	slices.SortFunc(used, byPlace)
	for i := 1; i < len(used); i++ {
		if used[i].at < used[i-1].end {
			return fmt.Errorf("byte %d: %w", used[i].at, ErrOverlap)
		}
	}
	for at := int(binary.BigEndian.Uint16(p.b[p.at+1:])); at != 0; {
		if at < content || at+minCell > len(p.b) || len(used) > len(p.b) {
			return fmt.Errorf("free block at byte %d: %w", at, ErrMalformed)
		}
		used = append(used, span{at, at + int(binary.BigEndian.Uint16(p.b[at+2:]))})
		at = int(binary.BigEndian.Uint16(p.b[at:]))
	}
	slices.SortFunc(used, byPlace)
	gaps, end := 0, content
	for _, s := range append(used, span{len(p.b), len(p.b)}) {
		if s.at < end {
			return fmt.Errorf("byte %d is of two cells: %w", s.at, ErrMalformed)
		}
		gaps += s.at - end
		end = s.end
	}
	if fragments := int(p.b[p.at+7]); gaps != fragments {
		return fmt.Errorf("%d bytes are of no cell, and the page counts %d: %w", gaps, fragments, ErrMalformed)
	}
	return nil
}

// ClearIndexRoot makes b, a page of an index, an empty leaf.
func ClearIndexRoot(b []byte, usable int) {
	clear(b)
	b[0] = byte(IndexLeaf)
	binary.BigEndian.PutUint16(b[5:], uint16(usable&0xffff)) // where the cells begin; 65536 is 0
}
