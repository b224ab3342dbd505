package repair

import (
	"encoding/binary"
	"io"
)

// indexPages follows the tree of an index as far as it can be followed and adds
// every page that it names to owned: interior and leaf pages and overflow chains,
// damaged ones too: all that is known of those is that the index owns them.
type indexPages struct {
	layout
	r     io.ReaderAt
	owned map[uint32]bool
}

// Page types of an index's b-tree (SQLite file format §1.6).
const (
	indexInterior = 0x02
	indexLeaf     = 0x0a
)

func (x *indexPages) follow(root uint32) error {
	page := make([]byte, x.pageSize)
	for next := []uint32{root}; len(next) > 0; {
		n := next[len(next)-1]
		next = next[:len(next)-1]
		if !x.own(n) {
			continue
		}
		if _, err := x.r.ReadAt(page, x.offset(n)); err != nil {
			return err
		}
		children, overflow := x.cells(page)
		next = append(next, children...)
		for _, o := range overflow {
			if err := x.chain(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// own notes a page, and reports whether it is one that was not noted before.
func (x *indexPages) own(n uint32) bool {
	if n < 2 || n > x.pages || x.owned[n] {
		return false
	}
	x.owned[n] = true
	return true
}

// cells returns the child pages and first overflow pages of a page's cells, none
// of a page that is not an index's.
func (x *indexPages) cells(page []byte) (children, overflow []uint32) {
	at := 8
	switch page[0] {
	case indexInterior:
		children = append(children, binary.BigEndian.Uint32(page[8:]))
		at = 12
	case indexLeaf:
	default:
		return nil, nil
	}
	for i := range int(binary.BigEndian.Uint16(page[3:])) {
		p := at + 2*i
		if p+2 > x.usable {
			break
		}
		cell := int(binary.BigEndian.Uint16(page[p:]))
		if cell < at || cell+4 > x.usable {
			continue
		}
		if at == 12 {
			children = append(children, binary.BigEndian.Uint32(page[cell:]))
			cell += 4
		}
		if o := x.overflowOf(page, cell); o != 0 {
			overflow = append(overflow, o)
		}
	}
	return children, overflow
}

// overflowOf returns the first overflow page of the payload at cell, 0 for none.
func (x *indexPages) overflowOf(page []byte, cell int) uint32 {
	v, n := varint(page[cell:x.usable])
	size := int64(min(v, 1<<62))
	// How much of it stays on the page: SQLite file format §1.6, "X is U-4-…".
	most := int64(x.usable-12)*64/255 - 23
	if n == 0 || size <= most {
		return 0
	}
	least := int64(x.usable-12)*32/255 - 23
	local := least + (size-least)%int64(x.usable-4)
	if local > most {
		local = least
	}
	end := int64(cell+n) + local
	if end+4 > int64(x.usable) {
		return 0
	}
	return binary.BigEndian.Uint32(page[end:])
}

// chain follows overflow pages from n on.
func (x *indexPages) chain(n uint32) error {
	var next [4]byte
	for x.own(n) {
		if _, err := x.r.ReadAt(next[:], x.offset(n)); err != nil {
			return err
		}
		n = binary.BigEndian.Uint32(next[:])
	}
	return nil
}

// varint decodes SQLite's variable-length integer (file format §1.6) and its length, 0
// when b is too short.
func varint(b []byte) (v uint64, n int) {
	for i, c := range b[:min(9, len(b))] {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		if v = v<<7 | uint64(c&0x7f); c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
