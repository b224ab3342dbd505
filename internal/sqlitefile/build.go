package sqlitefile

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Builder writes a database: b-trees one after the other, each filled in its order from left
// to right, so that every page is written once.
//
//	entries ──▶ leaf ──▶ leaf ──▶ …          written as they are full
//	              └───┬───┘
//	              interior ──▶ …             the same, one level higher
//	                  └──▶ root              its page was taken first
type Builder struct {
	w        io.WriterAt
	header   Header
	last     uint32    // page that was taken last
	pointers []Pointer // of the pages after page 1; nil without auto_vacuum
	page1    []byte
}

// NewBuilder builds a database with the settings of h: page size, encoding, auto_vacuum, the
// application's numbers. Root must be called for every tree but the schema's before any is begun.
func NewBuilder(w io.WriterAt, h Header) (*Builder, error) {
	if h.PageSize() == 0 || h.Usable() < MinUsable {
		return nil, fmt.Errorf("build: page size %d, %d reserved: %w", h.PageSize(), h.Reserved(), ErrMalformed)
	}
	b := &Builder{w: w, header: h, last: 1, page1: make([]byte, h.PageSize())}
	if h.LargestRoot() != 0 {
		b.pointers = []Pointer{}
		b.header.put32(offLargestRoot, 1)
	}
	b.header.ClearFreelist()
	return b, nil
}

// Root takes the page for the root of a tree.
func (b *Builder) Root() (uint32, error) {
	n, err := b.take()
	b.point(n, PointerRoot, 0)
	if b.pointers != nil {
		b.header.put32(offLargestRoot, n)
	}
	return n, err
}

// take takes the next page that is free to use.
func (b *Builder) take() (uint32, error) {
	for {
		if b.last == maxPage {
			return 0, fmt.Errorf("build: the database is full: %w", ErrMalformed)
		}
		b.last++
		if b.last != LockPage(b.header.PageSize()) && (b.pointers == nil || !b.header.IsPointerMap(b.last)) {
			return b.last, nil
		}
	}
}

const maxPage = 1<<32 - 2

// point notes what page n is for the pointer map.
func (b *Builder) point(n uint32, t PointerType, parent uint32) {
	if b.pointers == nil || n < 2 {
		return
	}
	for len(b.pointers) <= int(b.last) {
		b.pointers = append(b.pointers, Pointer{})
	}
	b.pointers[n] = Pointer{t, parent}
}

func (b *Builder) write(n uint32, page []byte) error {
	if n == 1 {
		copy(b.page1, page)
		return nil
	}
	_, err := b.w.WriteAt(page, (int64(n)-1)*int64(len(b.page1)))
	return err
}

// Finish writes the pointer map and the header, and returns the number of pages.
func (b *Builder) Finish() (uint32, error) {
	size := b.header.PageSize()
	for at := uint32(2); b.pointers != nil && at <= b.last; at++ {
		if !b.header.IsPointerMap(at) {
			continue
		}
		page := make([]byte, size)
		for n := at + 1; n <= b.last && PointerMapOf(n, size, b.header.Usable()) == at && int(n) < len(b.pointers); n++ {
			off := int(n-at-1) * pointerSize
			page[off] = byte(b.pointers[n].Type)
			binary.BigEndian.PutUint32(page[off+1:], b.pointers[n].Parent)
		}
		if err := b.write(at, page); err != nil {
			return 0, err
		}
	}
	b.header.SetPageCount(b.last)
	copy(b.page1, b.header[:])
	_, err := b.w.WriteAt(b.page1, 0)
	return b.last, err
}

// Tree begins the tree at root; kind is TableLeaf or IndexLeaf. Page 1 is the schema's root.
func (b *Builder) Tree(root uint32, kind PageType) *TreeBuilder {
	return &TreeBuilder{b: b, root: root, kind: kind}
}

// TreeBuilder fills a tree.
type TreeBuilder struct {
	b      *Builder
	root   uint32
	kind   PageType // of the leaves
	levels []*level // from the leaves up
}

// level is the page of one level that is being filled.
type level struct {
	cells []builtCell
	size  int // bytes of the cells with their pointers
}

// builtCell is a cell without its left child.
type builtCell struct {
	child    uint32 // of interior pages
	rowid    int64
	body     []byte // payload size, local payload and overflow page number
	overflow uint32
}

// Add adds an entry: of a table the row of that rowid, which is larger than the one before; of
// an index the next payload in its order.
func (t *TreeBuilder) Add(rowid int64, payload []byte) error {
	local := localSize(int64(len(payload)), t.kind, t.b.header.Usable())
	c := builtCell{rowid: rowid, body: appendVarint(nil, uint64(len(payload)))}
	if t.kind == TableLeaf {
		c.body = appendVarint(c.body, uint64(rowid))
	}
	c.body = append(c.body, payload[:local]...)
	if local < len(payload) {
		var err error
		if c.overflow, err = t.chain(payload[local:]); err != nil {
			return err
		}
		c.body = binary.BigEndian.AppendUint32(c.body, c.overflow)
	}
	for len(c.body) < minCell {
		c.body = append(c.body, 0)
	}
	return t.add(0, c)
}

// chain writes the overflow pages of a payload. What points at the first is noted with its cell.
func (t *TreeBuilder) chain(rest []byte) (first uint32, err error) {
	page := make([]byte, t.b.header.PageSize())
	room := t.b.header.Usable() - 4
	n, err := t.b.take()
	for first = n; err == nil; {
		m := copy(page[4:4+room], rest)
		clear(page[4+m:])
		rest = rest[m:]
		next := uint32(0)
		if len(rest) > 0 {
			if next, err = t.b.take(); err != nil {
				break
			}
			t.b.point(next, PointerOverflow, n)
		}
		binary.BigEndian.PutUint32(page, next)
		if err = t.b.write(n, page); err != nil || next == 0 {
			break
		}
		n = next
	}
	return first, err
}

// add adds a cell to a level, which is written first where it is full.
func (t *TreeBuilder) add(at int, c builtCell) error {
	if at == len(t.levels) {
		t.levels = append(t.levels, &level{})
	}
	l := t.levels[at]
	size := 2 + t.cellSize(at, c)
	if l.size+size > t.room(at) {
		if err := t.flush(at); err != nil {
			return err
		}
	}
	l.cells, l.size = append(l.cells, c), l.size+size
	return nil
}

func (t *TreeBuilder) cellSize(at int, c builtCell) int {
	switch {
	case at == 0:
		return len(c.body)
	case t.kind == TableLeaf:
		return 4 + len(appendVarint(nil, uint64(c.rowid)))
	}
	return 4 + len(c.body)
}

// room is how many bytes of cells and their pointers a page of a level has.
func (t *TreeBuilder) room(at int) int { return t.b.header.Usable() - t.typeAt(at).headerSize() }

func (t *TreeBuilder) typeAt(at int) PageType {
	switch {
	case at == 0:
		return t.kind
	case t.kind == TableLeaf:
		return TableInterior
	}
	return IndexInterior
}

// flush writes the page of a level. The cell after its last child goes up a level with it; of an
// interior page enough stays for the next one to have a cell.
func (t *TreeBuilder) flush(at int) error {
	l := t.levels[at]
	n := len(l.cells)
	if at > 0 {
		n -= 2
	} else if t.kind == IndexLeaf {
		n--
	}
	page, err := t.b.take()
	if err != nil {
		return err
	}
	up := l.cells[n-1]
	cells, right := l.cells[:n], uint32(0)
	switch {
	case at > 0:
		cells, right = l.cells[:n-1], up.child
	case t.kind == IndexLeaf:
		up, n = l.cells[n], n+1
	}
	if err := t.writePage(page, at, cells, right); err != nil {
		return err
	}
	up.child = page
	rest := append([]builtCell{}, l.cells[n:]...)
	*l = level{cells: rest}
	for _, c := range rest {
		l.size += 2 + t.cellSize(at, c)
	}
	return t.add(at+1, up)
}

// writePage writes a page, or what will be page 1 behind its header.
func (t *TreeBuilder) writePage(n uint32, at int, cells []builtCell, right uint32) error {
	b, kind := make([]byte, t.b.header.PageSize()), t.typeAt(at)
	start := 0
	if n == 1 {
		start = HeaderSize
	}
	h := b[start:]
	h[0] = byte(kind)
	binary.BigEndian.PutUint16(h[3:], uint16(len(cells)))
	if at > 0 {
		binary.BigEndian.PutUint32(h[8:], right)
		t.b.point(right, PointerBTree, n)
	}
	end := t.b.header.Usable()
	for i, c := range cells {
		var cell []byte
		if at > 0 {
			cell = binary.BigEndian.AppendUint32(cell, c.child)
			t.b.point(c.child, PointerBTree, n)
		}
		if at > 0 && t.kind == TableLeaf {
			cell = appendVarint(cell, uint64(c.rowid))
		} else {
			cell = append(cell, c.body...)
			t.b.point(c.overflow, PointerOverflowFirst, n)
		}
		end -= len(cell)
		copy(b[end:], cell)
		binary.BigEndian.PutUint16(h[kind.headerSize()+2*i:], uint16(end))
	}
	binary.BigEndian.PutUint16(h[5:], uint16(end&0xffff)) // 65536 is 0
	return t.b.write(n, b)
}

// Close writes what is left, and the root.
func (t *TreeBuilder) Close() error {
	if len(t.levels) == 0 {
		return t.writePage(t.root, 0, nil, 0)
	}
	for at := 0; ; at++ {
		l := t.levels[at]
		top, cells, right := at == len(t.levels)-1, l.cells, uint32(0)
		if at > 0 {
			right, cells = cells[len(cells)-1].child, cells[:len(cells)-1]
		}
		if top && (t.root != 1 || l.size+HeaderSize <= t.room(at)) {
			return t.writePage(t.root, at, cells, right)
		}
		n, err := t.b.take()
		if err != nil {
			return err
		}
		if err := t.writePage(n, at, cells, right); err != nil {
			return err
		}
		if top { // page 1 has too little room behind its header
			return t.writePage(1, at+1, nil, n)
		}
		up := t.levels[at+1]
		up.cells = append(up.cells, builtCell{child: n})
	}
}

// appendVarint appends v as Varint reads it.
func appendVarint(b []byte, v uint64) []byte {
	if v>>56 != 0 {
		for shift := 57; shift >= 8; shift -= 7 {
			b = append(b, byte(v>>shift)|0x80)
		}
		return append(b, byte(v))
	}
	started := false
	for shift := 49; shift > 0; shift -= 7 {
		if c := byte(v>>shift) & 0x7f; c != 0 || started {
			b, started = append(b, c|0x80), true
		}
	}
	return append(b, byte(v)&0x7f)
}
