package sqlitefile

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Cells (§1.6). Only the bytes that a type has are there:
//
//	                +------------+--------------+-------+---------+----------------+
//	table leaf      |            | payload size | rowid | payload | first overflow |
//	table interior  | left child |              | rowid |         |                |
//	index leaf      |            | payload size |       | payload | first overflow |
//	index interior  | left child | payload size |       | payload | first overflow |
//	                +------------+--------------+-------+---------+----------------+
//	                  4 bytes      varint         varint            4 bytes, where the
//	                                                                payload does not fit
//
// The rest of a payload is in a chain of overflow pages:
//
//	+-------------------+--------------------------------+
//	| next, 0 at the end| payload, to the page's end     |
//	+-------------------+--------------------------------+

// minCell is the size of the smallest cell in bytes.
const minCell = 4

// Cell is a cell of a b-tree page. Its bytes are borrowed from the page.
type Cell struct {
	Child    uint32 // left child, of interior pages
	RowID    int64  // of tables; in interior pages the largest one below Child
	Size     int64  // of the whole payload in bytes
	Local    []byte // what of the payload is on the page
	Overflow uint32 // first overflow page, where Local is not all of the payload
	at, end  int    // its bytes on the page
}

// Cell parses cell i, counted from 0.
func (p Page) Cell(i int) (Cell, error) {
	b, err := p.cellBytes(i)
	if err != nil {
		return Cell{}, err
	}
	c, ok := parseCell(b, p.Type(), len(p.b))
	if !ok {
		return c, fmt.Errorf("cell %d does not fit on its page: %w", i, ErrMalformed)
	}
	c.at = len(p.b) - len(b)
	c.end = c.at + max(c.end, minCell)
	return c, nil
}

// parseCell parses the cell that b begins with. Where ok is false, what of c comes
// before the cell's end is right.
func parseCell(b []byte, t PageType, usable int) (c Cell, ok bool) {
	all := len(b)
	defer func() { c.end = all - len(b) }()
	if !t.Leaf() {
		c.Child, b = binary.BigEndian.Uint32(b), b[4:]
	}
	if t != TableInterior {
		v, n := Varint(b)
		if n == 0 || v > math.MaxInt64 {
			return c, false
		}
		c.Size, b = int64(v), b[n:]
	}
	if t.Table() {
		v, n := Varint(b)
		if n == 0 {
			return c, false
		}
		c.RowID, b = int64(v), b[n:]
	}
	if t == TableInterior {
		return c, true
	}
	local := localSize(c.Size, t, usable)
	if local > len(b) {
		c.Local = b
		return c, false
	}
	c.Local, b = b[:local], b[local:]
	if int64(local) == c.Size {
		return c, true
	}
	if len(b) < 4 {
		return c, false
	}
	c.Overflow, b = binary.BigEndian.Uint32(b), b[4:]
	return c, true
}

// localSize returns how much of a payload of the given size stays on its page: §1.6,
// "Let X be the maximum amount of payload …".
func localSize(size int64, t PageType, usable int) int {
	u := int64(usable)
	least, most := (u-12)*32/255-23, (u-12)*64/255-23
	if t == TableLeaf {
		most = u - 35
	}
	if size <= most {
		return int(size)
	}
	if k := least + (size-least)%(u-4); k <= most {
		return int(k)
	}
	return int(least)
}
