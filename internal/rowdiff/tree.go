package rowdiff

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/sqlitefile"
)

// PageReader reads pages of an image: an archive.Image, or a live database.
type PageReader interface {
	io.ReaderAt
	Shape() archive.Shape
	// ReadPages is as archive.Image's.
	ReadPages(ctx context.Context, want iter.Seq2[int64, error], o archive.CopyOptions, fn func(pgno int64, page []byte) error) error
}

const (
	maxDepth   = 20       // of a tree, as SQLite has it
	batchBytes = 4 << 20  // of interior pages that are read at a time
	knownBytes = 32 << 20 // of a state's interior pages that are kept
)

// image is the pages of one state.
type image struct {
	reader PageReader
	size   int // of a page
	usable int
	count  uint32
	header sqlitefile.Header
	seen   pageSet // pages that have a place, each once
	tree   pageSet // those of trees
	keep   func(n int64, page []byte) bool
	read   int64 // pages that were asked for
	placed *placed
	number uint16 // of the tree that pages are taken for; 0 for none
}

func openImage(r PageReader) (*image, error) {
	shape := r.Shape()
	i := &image{reader: r, size: shape.PageSize, count: uint32(shape.PageCount)}
	if shape.PageCount < 1 || shape.PageCount > math.MaxUint32-1 {
		return nil, nil
	}
	if _, err := r.ReadAt(i.header[:], 0); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if i.usable = i.header.Usable(); i.header.PageSize() != i.size || i.usable < sqlitefile.MinUsable {
		return nil, nil
	}
	i.seen = newPageSet(i.count)
	return i, nil
}

// take gives a page its place.
func (i *image) take(n uint32) error {
	switch {
	case n == 0 || n > i.count:
		return fmt.Errorf("%w: there is no page %d", ErrDamaged, n)
	case i.seen.has(n):
		return fmt.Errorf("%w: page %d is used twice", ErrDamaged, n)
	}
	i.seen.add(n)
	if i.placed != nil {
		i.placed.of[n] = i.number
	}
	return nil
}

// begin begins a tree, which the pages that are taken next are of.
func (i *image) begin(name string) {
	if i.placed != nil {
		i.placed.trees = append(i.placed.trees, name)
		i.number = uint16(len(i.placed.trees))
	}
}

// page reads one page.
func (i *image) page(n uint32) ([]byte, error) {
	i.read++
	b := make([]byte, i.size)
	if _, err := i.reader.ReadAt(b, int64(n-1)*int64(i.size)); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read page %d: %w", n, err)
	}
	return b, nil
}

// pages calls fn with pages in ascending order of want; fn gets them in any order.
func (i *image) pages(ctx context.Context, want []uint32, fn func(n uint32, b []byte) error) error {
	i.read += int64(len(want))
	return i.reader.ReadPages(ctx, func(yield func(int64, error) bool) {
		for _, n := range want {
			if !yield(int64(n), nil) {
				return
			}
		}
	}, archive.CopyOptions{}, func(pgno int64, b []byte) error { return fn(uint32(pgno), b) })
}

// knownPages are interior pages of a state that were read.
type knownPages struct {
	pages map[uint32][]byte
	bytes int
}

func (k *knownPages) add(n uint32, b []byte) {
	if k.pages == nil {
		k.pages = map[uint32][]byte{}
	}
	if _, has := k.pages[n]; !has && k.bytes < knownBytes {
		k.pages[n] = b
		k.bytes += len(b)
	}
}

// trees walks the trees of both states. A page that did not change is read once.
type trees struct {
	changed pageSet
	images  [2]*image
	known   [2]*knownPages
}

// recall returns a page that was read before, from the other state where it did not change.
func (t *trees) recall(side int, n uint32) ([]byte, bool) {
	if b, ok := t.known[side].pages[n]; ok {
		return b, true
	}
	if t.changed.has(n) {
		return nil, false
	}
	b, ok := t.known[1-side].pages[n]
	if ok {
		t.known[side].add(n, b)
	}
	return b, ok
}

// page reads one page.
func (t *trees) page(side int, n uint32) (sqlitefile.Page, error) {
	b, ok := t.recall(side, n)
	if !ok {
		var err error
		if b, err = t.images[side].page(n); err != nil {
			return sqlitefile.Page{}, err
		}
		t.known[side].add(n, b)
	}
	p, err := sqlitefile.ParsePage(b, n, t.images[side].usable)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return p, nil
}

// prefetch reads interior pages of several trees together, level by level, as many as are kept: a part of the image that has pages of many
// trees is decompressed once for a level. What is wrong with them shows in the walk.
func (t *trees) prefetch(ctx context.Context, side int, roots []uint32) error {
	seen := newPageSet(t.images[side].count)
	levels := make([][]uint32, len(roots)) // of each tree
	for i, root := range roots {
		levels[i] = []uint32{root}
	}
	for range maxDepth {
		if err := t.fetchKnown(ctx, side, seen, slices.Concat(levels...)); err != nil {
			return err
		}
		var firsts []uint32
		for i, level := range levels {
			var next []uint32
			for _, n := range level {
				next = t.appendChildren(next, side, n)
			}
			if levels[i] = next; len(next) > 0 {
				firsts = append(firsts, next[0])
			}
		}
		if len(firsts) == 0 {
			return nil
		}
		if err := t.fetchKnown(ctx, side, seen, firsts); err != nil {
			return err
		}
		for i, level := range levels {
			if len(level) > 0 && len(t.appendChildren(nil, side, level[0])) == 0 {
				levels[i] = nil // leaves
			}
		}
	}
	return nil
}

// fetchKnown reads pages that are not known, each once.
func (t *trees) fetchKnown(ctx context.Context, side int, seen pageSet, pages []uint32) error {
	image, known := t.images[side], t.known[side]
	var want []uint32
	for _, n := range pages {
		if n == 0 || n > image.count || seen.has(n) || known.bytes+len(want)*image.size >= knownBytes {
			continue
		}
		seen.add(n)
		if _, ok := t.recall(side, n); !ok {
			want = append(want, n)
		}
	}
	slices.Sort(want)
	return image.pages(ctx, want, func(n uint32, b []byte) error {
		known.add(n, slices.Clone(b))
		return nil
	})
}

// appendChildren appends the children of a page that is known, none of a leaf.
func (t *trees) appendChildren(list []uint32, side int, n uint32) []uint32 {
	b, ok := t.known[side].pages[n]
	if !ok {
		return list
	}
	p, err := sqlitefile.ParsePage(b, n, t.images[side].usable)
	if err != nil || p.Type().Leaf() {
		return list
	}
	for c := range p.Cells() {
		if cell, err := p.Cell(c); err == nil {
			list = append(list, cell.Child)
		}
	}
	return append(list, p.RightChild())
}

// node is a page of a tree; of tables its rowids go up to a number.
type node struct {
	page uint32
	to   int64
}

// leaf is called with each leaf page of a table and the rowids that may be on it, in order; of other trees with all pages.
type leafFunc func(n uint32, r Range) error

// walk walks a tree, level by level from its root. take gives each page its place.
func (t *trees) walk(ctx context.Context, side int, root uint32, take func(n uint32) error, leaf leafFunc) error {
	if err := take(root); err != nil {
		return err
	}
	top, err := t.page(side, root)
	if err != nil {
		return err
	}
	kind := top.Type()
	level := []node{{root, math.MaxInt64}}
	if kind.Leaf() {
		return leaf(root, allRows[0])
	}
	for depth := 0; ; depth++ {
		if depth == maxDepth {
			return fmt.Errorf("%w: the tree at page %d is too deep", ErrDamaged, root)
		}
		l := levelWalk{trees: t, side: side, image: t.images[side], kind: kind, take: take, leaf: leaf, from: math.MinInt64}
		if err := l.run(ctx, level); err != nil {
			return fmt.Errorf("tree at page %d: %w", root, err)
		}
		if level = l.next; len(level) == 0 {
			return nil
		}
	}
}

// levelWalk reads the interior pages of one level.
type levelWalk struct {
	*trees
	side   int
	image  *image
	kind   sqlitefile.PageType
	take   func(n uint32) error
	leaf   leafFunc
	from   int64 // the first rowid of the next child
	full   bool  // no rowid is left
	looked bool  // leaves is known
	leaves bool  // the children are leaves
	next   []node
}

func (l *levelWalk) run(ctx context.Context, level []node) error {
	each := max(1, batchBytes/l.image.size)
	for batch := range slices.Chunk(level, each) {
		pages, err := l.fetch(ctx, batch)
		if err != nil {
			return err
		}
		for _, n := range batch {
			if !l.kind.Table() { // its entries are in interior pages as well
				if err := l.leaf(n.page, Range{}); err != nil {
					return err
				}
			}
			if err := l.children(n, pages[n.page]); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch reads the pages of a part of the level.
func (l *levelWalk) fetch(ctx context.Context, batch []node) (map[uint32][]byte, error) {
	pages := make(map[uint32][]byte, len(batch))
	var want []uint32
	for _, n := range batch {
		if b, ok := l.recall(l.side, n.page); ok {
			pages[n.page] = b
			l.keep(n.page, b)
			continue
		}
		want = append(want, n.page)
	}
	slices.Sort(want)
	err := l.image.pages(ctx, want, func(n uint32, b []byte) error {
		pages[n] = slices.Clone(b)
		l.known[l.side].add(n, pages[n])
		l.keep(n, b)
		return nil
	})
	return pages, err
}

// keep has SQLite read an interior page of a table from memory.
func (l *levelWalk) keep(n uint32, b []byte) {
	if l.image.keep != nil && l.kind.Table() {
		l.image.keep(int64(n), b)
	}
}

// children hands on what an interior page names.
func (l *levelWalk) children(n node, b []byte) error {
	page, err := sqlitefile.ParsePage(b, n.page, l.image.usable)
	if err == nil && (page.Type().Leaf() || page.Type().Table() != l.kind.Table()) {
		err = fmt.Errorf("page %d is of another type", n.page)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for c := range page.Cells() {
		cell, err := page.Cell(c)
		if err != nil {
			return fmt.Errorf("%w: page %d: %w", ErrDamaged, n.page, err)
		}
		to := n.to
		if l.kind.Table() {
			if to = cell.RowID; to > n.to {
				return fmt.Errorf("%w: page %d: rowids out of order", ErrDamaged, n.page)
			}
		}
		if err := l.child(node{cell.Child, to}); err != nil {
			return err
		}
	}
	return l.child(node{page.RightChild(), n.to})
}

func (l *levelWalk) child(c node) error {
	if err := l.take(c.page); err != nil {
		return err
	}
	if !l.looked {
		page, err := l.page(l.side, c.page)
		if err != nil {
			return err
		}
		l.looked, l.leaves = true, page.Type().Leaf()
	}
	if !l.leaves {
		l.next = append(l.next, c)
		return nil
	}
	r := Range{}
	if l.kind.Table() {
		if l.full || c.to < l.from && c.to != l.from-1 {
			return fmt.Errorf("%w: page %d: rowids out of order", ErrDamaged, c.page)
		}
		r = Range{l.from, c.to}
		if c.to == math.MaxInt64 {
			l.full = true
		} else {
			l.from = c.to + 1
		}
	}
	return l.leaf(c.page, r)
}

// freelist gives the pages of the freelist their place.
func (i *image) freelist() error {
	n, _ := i.header.Freelist()
	for n != 0 {
		if err := i.take(n); err != nil {
			return err
		}
		b, err := i.page(n)
		if err != nil {
			return err
		}
		trunk, err := sqlitefile.ParseTrunk(b, i.usable)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		for _, leaf := range trunk.Leaves {
			if err := i.take(leaf); err != nil {
				return err
			}
		}
		n = trunk.Next
	}
	return nil
}

// others reports whether a page is of neither tree nor list by its number: of the pointer map, or the lock page.
func (i *image) others(n uint32) bool {
	return n == sqlitefile.LockPage(i.size) || i.header.LargestRoot() != 0 && i.header.IsPointerMap(n)
}

// overflow is the chain of overflow pages that a cell goes on in.
type overflow struct {
	rowid int64
	first uint32
	pages int64
}

func (i *image) overflowOf(c sqlitefile.Cell) overflow {
	each := int64(i.usable - 4)
	return overflow{c.RowID, c.Overflow, (c.Size - int64(len(c.Local)) + each - 1) / each}
}

// follow calls fn with the pages of a chain, and gives them their place. It ends early where they have one.
func (i *image) follow(o overflow, fn func(n uint32) error) error {
	n := o.first
	for left := o.pages; n != 0 && left > 0; left-- {
		if n > i.count || i.seen.has(n) {
			return nil // SQLite says what is wrong when it reads the row
		}
		i.seen.add(n)
		if err := fn(n); err != nil {
			return err
		}
		if left == 1 {
			return nil
		}
		b, err := i.page(n)
		if err != nil {
			return err
		}
		n = binary.BigEndian.Uint32(b)
	}
	return nil
}
