package rowdiff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/sqlitefile"
)

// Pages are the pages of two states that can be compared by their digests.
type Pages struct {
	From, To PageReader
	changed  pageSet // pages that differ, those among them that only one has
	follow   bool    // more comparisons follow, each with the first state of this one as the second
}

// ComparePages compares two images by their page digests. It is nil where those say nothing about each other.
func ComparePages(ctx context.Context, from, to archive.Image) (*Pages, error) {
	p := &Pages{From: from, To: to, changed: newPageSet(uint32(max(from.Shape().PageCount, to.Shape().PageCount)))}
	for c, err := range archive.Diff(ctx, from, to) {
		if errors.Is(err, archive.ErrNotComparable) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		p.changed.add(uint32(c.Page))
	}
	return p, nil
}

// PagesOf are the pages in which two images may differ, in any order: of pages that only one has, all. In the next comparison from is to be the
// second state, with its Side.
func PagesOf(from, to archive.Image, changed []uint32) *Pages {
	p := &Pages{From: from, To: to, changed: newPageSet(uint32(max(from.Shape().PageCount, to.Shape().PageCount))), follow: true}
	for _, n := range changed {
		if n < uint32(len(p.changed)*64) {
			p.changed.add(n)
		}
	}
	return p
}

// CheckTrees proves that every page of an image is in one tree at most, of which that of the Side is the image: what damage or ill
// will could make of others costs without end to read. Narrow proves it as well.
func (d *Diff) CheckTrees(ctx context.Context, side *Side, r PageReader) error {
	i, err := openImage(r)
	if err != nil || i == nil {
		return err
	}
	t := trees{changed: pageSet{}, images: [2]*image{i, i}, known: [2]*knownPages{{}, {}}}
	nothing := func(uint32, Range) error { return nil }
	for _, o := range side.schema.Objects {
		if o.Root == 0 {
			continue
		}
		if err := t.walk(ctx, 0, o.Root, i.take, nothing); err != nil {
			return fmt.Errorf("%s %s: %w", o.Type, o.Name, err)
		}
	}
	return nil
}

// maxRanges bounds the ranges of a table: beyond it neighbours become one.
const maxRanges = 1 << 18

// narrowing finds out which rows may differ.
type narrowing struct {
	*Diff
	trees
	there  map[string]bool    // objects that have a tree in a state
	equal  map[string]bool    // those that both states have with all pages the same
	ranges map[string][]Range // of tables that are not
	leaves [2]pageSet         // of tables, those that will be read
	// unaccounted: there are changed pages that have no place; they may be overflow pages of a table without rowids.
	unaccounted bool
}

// Narrow has rows read only where pages differ. Without it, or where pages cannot be compared, all are read. The pages of damaged
// trees are ErrDamaged. Every page is looked at a bounded number of times.
func (d *Diff) Narrow(ctx context.Context, p *Pages) error {
	if p == nil {
		return nil
	}
	n := &narrowing{Diff: d, trees: trees{changed: p.changed}, there: map[string]bool{}, equal: map[string]bool{}, ranges: map[string][]Range{}}
	for i, side := range []*Side{d.from, d.to} {
		image, err := openImage([]PageReader{p.From, p.To}[i])
		if err != nil {
			return err
		}
		if n.known[i] = &side.known; image != nil {
			image.keep = side.Keep
			n.leaves[i] = newPageSet(image.count)
		}
		n.images[i] = image
	}
	a, b := n.images[0], n.images[1]
	if a == nil || b == nil || a.usable != b.usable || d.from.schema.Encoding != d.to.schema.Encoding {
		return nil
	}
	if p.follow {
		if done, err := n.step(ctx); err != nil && ctx.Err() != nil || done {
			return err
		}
		for i, side := range []*Side{d.from, d.to} { // walk all trees, which says what is damaged
			image := n.images[i]
			image.seen, n.leaves[i] = newPageSet(image.count), newPageSet(image.count)
			image.placed = &placed{of: make([]uint16, image.count+1)}
			side.placed = image.placed
		}
		n.there, n.equal, n.ranges = map[string]bool{}, map[string]bool{}, map[string][]Range{}
	}
	if err := n.run(ctx); err != nil {
		return fmt.Errorf("compare pages: %w", err)
	}
	return nil
}

func (n *narrowing) run(ctx context.Context) error {
	roots := [2]map[string]uint32{{}, {}}
	for i, s := range []*Schema{n.from.schema, n.to.schema} {
		roots[i]["table sqlite_schema"] = 1
		for _, o := range s.Objects {
			if o.Root != 0 {
				roots[i][o.Type+" "+fold(o.Name)] = o.Root
			}
		}
	}
	fresh := len(n.known[0].pages)+len(n.known[1].pages) == 0 // else most of them are known
	for side := range n.images {
		if !fresh {
			break
		}
		if err := n.prefetch(ctx, side, slices.Collect(maps.Values(roots[side]))); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(roots[0]) {
		b, both := roots[1][name]
		n.there[name] = true
		n.images[0].begin(name)
		var err error
		if both {
			n.images[1].begin(name)
			err = n.pairOfTrees(ctx, name, [2]uint32{roots[0][name], b})
		} else {
			err = n.alone(ctx, 0, roots[0][name])
		}
		if err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(roots[1]) {
		if _, both := roots[0][name]; !both {
			n.there[name] = true
			n.images[1].begin(name)
			if err := n.alone(ctx, 1, roots[1][name]); err != nil {
				return err
			}
		}
	}
	for _, i := range n.images {
		i.number = 0
		i.tree = slices.Clone(i.seen)
		if err := i.freelist(); err != nil {
			return err
		}
	}
	if err := n.account(ctx); err != nil {
		return err
	}
	for _, p := range n.pairs {
		n.apply(p)
	}
	return n.readAhead(ctx)
}

func sortedKeys(m map[string]uint32) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// alone gives the pages of a tree their place.
func (n *narrowing) alone(ctx context.Context, side int, root uint32) error {
	return n.walk(ctx, side, root, n.images[side].take, func(uint32, Range) error { return nil })
}

// pairOfTrees compares the trees of an object that both states have.
func (n *narrowing) pairOfTrees(ctx context.Context, name string, roots [2]uint32) error {
	var sets [2]pageSet // leaf pages, and all pages of trees that are no tables'
	var found ranges
	for side, i := range n.images {
		sets[side] = newPageSet(i.count)
		follows := false // a leaf that will be read: SQLite looks for the end of a range on the next one
		err := n.walk(ctx, side, roots[side], i.take, func(page uint32, r Range) error {
			sets[side].add(page)
			differs := n.changed.has(page)
			if differs {
				found.add(r)
			}
			if differs || follows {
				n.willRead(side, page, r)
			}
			follows = differs
			return nil
		})
		if err != nil {
			return err
		}
	}
	for side := range n.images {
		mine, others := sets[side], sets[1-side]
		only := func(w int) uint64 { return mine.word(w) &^ others.word(w) &^ n.changed.word(w) }
		if !some(len(mine), only) {
			continue
		}
		err := n.walk(ctx, side, roots[side], func(uint32) error { return nil }, func(page uint32, r Range) error {
			if !others.has(page) && !n.changed.has(page) {
				found.add(r)
				n.willRead(side, page, r)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	n.equal[name], n.ranges[name] = len(found) == 0, found.joined()
	return nil
}

// willRead notes a leaf of a table.
func (n *narrowing) willRead(side int, page uint32, r Range) {
	if r != (Range{}) {
		n.leaves[side].add(page)
	}
}

// readAhead reads the leaves that SQLite will, as many as it takes, in the order in which they are stored and by all processors. One that
// is the same in both states is read once.
func (n *narrowing) readAhead(ctx context.Context) error {
	for side, i := range n.images {
		other := n.images[1-side]
		if i.keep == nil {
			continue
		}
		var full atomic.Bool
		want := func(yield func(int64, error) bool) {
			eachPage(len(n.leaves[side]), n.leaves[side].word, func(page uint32) bool { return !full.Load() && yield(int64(page), nil) })
		}
		err := i.reader.ReadPages(ctx, want, archive.CopyOptions{}, func(page int64, b []byte) error {
			full.Store(!i.keep(page, b))
			if p := uint32(page); side == 0 && other.keep != nil && !n.changed.has(p) && n.leaves[1].has(p) && other.keep(page, b) {
				n.leaves[1].remove(p)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ranges are collected in any order.
type ranges []Range

func (r *ranges) add(x Range) {
	if *r = append(*r, x); len(*r) >= 2*maxRanges {
		*r = r.joined()
	}
}

// joined are the ranges in order, those that touch as one, and at most maxRanges.
func (r ranges) joined() []Range {
	slices.SortFunc(r, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	kept := r[:0]
	for _, x := range r {
		switch last := len(kept) - 1; {
		case x.From > x.To:
		case last >= 0 && (x.From <= kept[last].To || x.From-1 == kept[last].To):
			kept[last].To = max(kept[last].To, x.To)
		default:
			kept = append(kept, x)
		}
	}
	for len(kept) > maxRanges {
		half := kept[:0]
		for i := 0; i < len(kept); i += 2 {
			half = append(half, Range{kept[i].From, kept[min(i+1, len(kept)-1)].To})
		}
		kept = half
	}
	return kept
}

// apply has a pair read no more than what may differ.
func (n *narrowing) apply(p *pair) {
	a, b := p.objects[0], p.objects[1]
	if a == nil || b == nil || !p.sameLayout() {
		return
	}
	if p.failed != nil || p.tables[0].Root == 0 { // a virtual table: an R*Tree, or one that cannot be read
		equal := a.virtual() && !n.unaccounted
		for _, suffix := range shadowSuffixes[moduleOf(a.SQL)] {
			if shadow := "table " + fold(a.Name+suffix); n.equal[shadow] || !n.there[shadow] {
				continue
			}
			equal = false
		}
		p.equal, p.derived = p.equal || equal, p.derived || equal
		return
	}
	name := "table " + fold(p.tables[0].From)
	if !n.there[name] {
		return
	}
	equal := n.equal[name]
	if p.tables[0].WithoutRowID {
		p.equal = equal && !n.unaccounted
		return
	}
	if p.equal = equal; p.tables[0].RowID != "" {
		p.ranges = n.ranges[name]
	}
}

// sameLayout reports whether the same bytes are the same values in both tables, in the columns that are compared: columns that were added
// or dropped at the end change nothing for the others.
func (p *pair) sameLayout() bool {
	if p.objects[0].SQL == p.objects[1].SQL {
		return true
	}
	a, b := p.tables[0], p.tables[1]
	if a == nil || b == nil || p.objects[0].virtual() || p.objects[1].virtual() || a.WithoutRowID || b.WithoutRowID || (a.Alias < 0) != (b.Alias < 0) {
		return false
	}
	for i := range p.columns {
		x, y := p.places[0][i], p.places[1][i]
		if a.Columns[x].slot != b.Columns[y].slot || a.Columns[x].kind != b.Columns[y].kind || (x == a.Alias) != (y == b.Alias) {
			return false
		}
	}
	return true
}

// missing are the changed pages of a state that have no place.
func (n *narrowing) missing(side int) bool {
	i := n.images[side]
	found := false
	eachPage(len(n.changed), func(w int) uint64 { return n.changed.word(w) &^ i.seen.word(w) }, func(page uint32) bool {
		found = page != 0 && page <= i.count && !i.others(page)
		return !found
	})
	return found
}

// account accounts for the changed pages that are of no tree: they are overflow pages. Those of rows on changed leaves
// have a place with these; the rows of others are compared, too.
func (n *narrowing) account(ctx context.Context) error {
	for side, i := range n.images {
		if !n.missing(side) {
			continue
		}
		var trees []uint32
		eachPage(len(n.changed), func(w int) uint64 { return n.changed.word(w) & i.tree.word(w) }, func(page uint32) bool {
			trees = append(trees, page)
			return true
		})
		for batch := range slices.Chunk(trees, max(1, batchBytes/i.size)) {
			if err := n.chains(ctx, side, batch, func(overflow, bool) error { return nil }); err != nil {
				return err
			}
		}
	}
	if !n.missing(0) && !n.missing(1) {
		return nil
	}
	return n.overflowing(ctx)
}

// chains follows the overflow pages of the cells on some b-tree pages, and calls fn with each chain, and whether one of its
// pages changed.
func (n *narrowing) chains(ctx context.Context, side int, pages []uint32, fn func(o overflow, changed bool) error) error {
	i := n.images[side]
	var all []overflow
	err := i.pages(ctx, pages, func(page uint32, b []byte) error {
		p, err := sqlitefile.ParsePage(b, page, i.usable)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		for c := range p.Cells() {
			cell, err := p.Cell(c)
			if err != nil {
				return fmt.Errorf("%w: page %d: %w", ErrDamaged, page, err)
			}
			if cell.Overflow != 0 {
				all = append(all, i.overflowOf(cell))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range all {
		changed := false
		err := i.follow(o, func(page uint32) error {
			changed = changed || n.changed.has(page)
			return ctx.Err()
		})
		if err == nil {
			err = fn(o, changed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overflowing compares the rows on equal leaves whose overflow pages changed, table by table, until every changed page has its place.
func (n *narrowing) overflowing(ctx context.Context) error {
	for _, p := range n.pairs {
		a, b := p.tables[0], p.tables[1]
		if a == nil || b == nil || a.Root == 0 || b.Root == 0 || a.WithoutRowID || b.WithoutRowID {
			continue
		}
		name := "table " + fold(a.From)
		found := ranges(n.ranges[name])
		if err := n.overflowingRows(ctx, a.Root, &found); err != nil {
			return err
		}
		n.equal[name], n.ranges[name] = len(found) == 0, found.joined()
		if !n.missing(0) && !n.missing(1) {
			return nil
		}
	}
	n.unaccounted = n.missing(0) || n.missing(1)
	return nil
}

// overflowingRows finds the rows of a table whose leaf is the same in both states, and an overflow page is not.
func (n *narrowing) overflowingRows(ctx context.Context, root uint32, found *ranges) error {
	var batch []uint32
	each := max(1, batchBytes/n.images[0].size)
	look := func() error {
		slices.Sort(batch)
		defer func() { batch = batch[:0] }()
		return n.chains(ctx, 0, batch, func(o overflow, changed bool) error {
			if !changed {
				return nil
			}
			found.add(Range{o.rowid, o.rowid})
			return n.images[1].follow(o, func(uint32) error { return ctx.Err() })
		})
	}
	again := func(uint32) error { return nil }
	err := n.walk(ctx, 0, root, again, func(page uint32, _ Range) error {
		if n.changed.has(page) {
			return nil
		}
		if batch = append(batch, page); len(batch) < each {
			return nil
		}
		return look()
	})
	if err == nil && len(batch) > 0 {
		err = look()
	}
	return err
}
