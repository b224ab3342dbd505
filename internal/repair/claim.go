package repair

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlitefile"
)

// tree is a table or an index with the pages that are its.
type tree struct {
	object
	id     uint16
	shape  *shape // nil where its SQL cannot be read
	table  *tree  // of an index
	rowids bool
	holes  []hole
	tops   []uint32 // of trees that belong to this one, though nothing leads there
	lost   int64    // pages
}

// hole is a part of a table that its pages do not lead to any more: rowids after lo, up to hi.
type hole struct{ lo, hi int64 }

const (
	freePage  = math.MaxUint16     // on the list of free pages, or after the database's end
	strayPage = math.MaxUint16 - 1 // of a tree that no table is known for
	maxTrees  = strayPage - 1
	maxHoles  = 1 << 16
)

func (t *tree) hole(lo, hi int64) {
	t.lost++
	if len(t.holes) == maxHoles {
		t.holes = []hole{{math.MinInt64, math.MaxInt64}}
	}
	t.holes = append(t.holes, hole{lo, hi})
}

// claims gives every page of a b-tree to a table or index. First the pages are followed from the roots
// of the schema, where what they hold is of that tree; then where it is not but nothing else has
// them; and the trees that are left go to the only table that they can be of.
type claims struct {
	*damaged
	ctx    context.Context
	strict bool
	put    []claim // for the second round
}

// claim is a page that a tree leads to.
type claim struct {
	t      *tree
	n      uint32
	lo, hi int64
	depth  int
}

// maxClaims bounds the claims that are put off.
const maxClaims = 1 << 20

func (c *claims) run() error {
	for _, strict := range []bool{true, false} {
		c.strict = strict
		again := c.put
		c.put = nil
		for _, a := range again {
			if err := c.page(a); err != nil {
				return err
			}
		}
		if !strict {
			break
		}
		for _, t := range c.trees[1:] { // the schema's is claimed
			if err := c.page(claim{t, t.root, math.MinInt64, math.MaxInt64, 0}); err != nil {
				return err
			}
		}
	}
	if err := c.free(); err != nil {
		return err
	}
	return c.left()
}

// page claims a page and what is below it.
func (c *claims) page(a claim) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if a.n == 0 || a.n > c.Pages || a.depth > maxDepth {
		a.t.hole(a.lo, a.hi)
		return nil
	}
	if had := c.owner.of(a.n); had != 0 {
		if had != a.t.id {
			a.t.hole(a.lo, a.hi)
		}
		return nil
	}
	page, err := c.BTree(a.n, make([]byte, c.PageSize))
	if err != nil && !malformed(err) {
		return err
	}
	if err != nil || page.Type().Table() != a.t.rowids {
		a.t.hole(a.lo, a.hi)
		return nil
	}
	if c.strict && !c.belongs(page, a) {
		if len(c.put) < maxClaims {
			c.put = append(c.put, a)
		} else {
			a.t.hole(a.lo, a.hi)
		}
		return nil
	}
	c.owner.give(a.n, a.t.id)
	if page.Type().Leaf() {
		return nil
	}
	lo := a.lo
	for i := range page.Cells() {
		cell, err := page.Cell(i)
		if err != nil {
			a.t.hole(lo, a.hi)
			continue
		}
		hi := a.hi
		if a.t.rowids {
			hi = cell.RowID
		}
		if err := c.page(claim{a.t, cell.Child, lo, hi, a.depth + 1}); err != nil {
			return err
		}
		lo = hi
	}
	return c.page(claim{a.t, page.RightChild(), lo, a.hi, a.depth + 1})
}

// belongs reports whether what is on a page can be of the tree, at that place: most of its cells are.
func (c *claims) belongs(page sqlitefile.Page, a claim) bool {
	good, all := 0, 0
	for i := range page.Cells() {
		cell, err := page.Cell(i)
		if err != nil {
			continue
		}
		all++
		ok := !a.t.rowids || cell.RowID > a.lo && cell.RowID <= a.hi || a.lo == math.MinInt64 && cell.RowID <= a.hi
		if ok && page.Type() != sqlitefile.TableInterior && a.t.shape != nil {
			r, err := sqlitefile.ParseRecord(cell.Local)
			ok = err != nil || a.t.shape.fits(r)
		}
		if ok {
			good++
		}
	}
	return 2*good >= all
}

// free marks the pages that are on the list of free pages, and those after the database's end.
func (c *claims) free() error {
	mark := func(n uint32) bool {
		if n == 0 || n > c.Pages || c.owner.of(n) != 0 {
			return false
		}
		c.owner.give(n, freePage)
		return true
	}
	for n := range c.all() {
		if n > c.counted {
			mark(n)
		}
	}
	if !c.intact {
		return nil
	}
	b := make([]byte, c.PageSize)
	for n, _ := c.header.Freelist(); mark(n); {
		if err := c.Page(n, b); err != nil {
			if malformed(err) {
				return nil
			}
			return err
		}
		trunk, err := sqlitefile.ParseTrunk(b, c.Usable)
		if err != nil {
			return nil
		}
		for _, leaf := range trunk.Leaves {
			mark(leaf)
		}
		n = trunk.Next
	}
	return nil
}

// left finds the trees that nothing leads to, and the table of each.
func (c *claims) left() error {
	below := owners{}
	err := c.unclaimed(func(n uint32, page sqlitefile.Page) error {
		if page.Type().Leaf() {
			return nil
		}
		for i := range page.Cells() {
			if cell, err := page.Cell(i); err == nil && cell.Child != n && c.exists(cell.Child) {
				below.give(cell.Child, strayPage)
			}
		}
		if child := page.RightChild(); child != n && c.exists(child) {
			below.give(child, strayPage)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, round := range []bool{false, true} { // the second is for pages that lead to each other
		err := c.unclaimed(func(n uint32, page sqlitefile.Page) error {
			if below.of(n) != 0 && !round {
				return nil
			}
			return c.stray(n, page.Type().Table())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unclaimed visits the b-tree pages that nothing has.
func (c *claims) unclaimed(visit func(uint32, sqlitefile.Page) error) error {
	b := make([]byte, c.PageSize)
	for n := range c.all() {
		if c.owner.of(n) != 0 || n == sqlitefile.LockPage(c.PageSize) {
			continue
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		page, err := c.BTree(n, b)
		if err != nil && !malformed(err) {
			return err
		}
		if err != nil || page.Cells() == 0 && page.Type().Leaf() {
			continue
		}
		if sqlitefile.IsPointerMap(n, c.PageSize, c.Usable) && page.Account() != nil {
			continue // it begins as a b-tree page does
		}
		if _, err := page.Cell(0); err != nil && page.Cells() > 0 {
			continue // not even its first cell is one: not a b-tree page
		}
		if err := visit(n, page); err != nil {
			return err
		}
	}
	return nil
}

// stray takes the tree below n, and gives it to the only table that it can be of.
func (c *claims) stray(n uint32, rowids bool) error {
	one := &tree{id: strayPage, rowids: rowids}
	c.strict = false
	if err := c.page(claim{one, n, math.MinInt64, math.MaxInt64, 0}); err != nil {
		return err
	}
	if c.owner.of(n) != strayPage {
		return nil
	}
	p := profile{lo: math.MaxInt64, hi: math.MinInt64}
	for _, t := range c.trees[1:] {
		if t.shape != nil && t.rowids == rowids && len(t.holes) > 0 {
			p.may = append(p.may, t)
		}
	}
	if len(p.may) == 0 {
		c.strays = append(c.strays, n)
		return nil
	}
	p.usual = slices.Clone(p.may)
	err := c.leaves(c.ctx, strayPage, n, func(_ uint32, page sqlitefile.Page) error {
		p.look(page)
		return nil
	})
	if err != nil {
		return err
	}
	if t := p.only(); t != nil {
		return c.give(n, t)
	}
	c.strays = append(c.strays, n)
	return nil
}

// give makes the tree below n a part of t.
func (c *claims) give(n uint32, t *tree) error {
	var pages []uint32
	err := c.each(c.ctx, strayPage, n, func(n uint32, _ sqlitefile.Page) error {
		pages = append(pages, n)
		return nil
	})
	for _, p := range pages {
		c.owner.give(p, t.id)
	}
	t.tops = append(t.tops, n)
	return err
}

// profile is what is known of the rows of a tree.
type profile struct {
	lo, hi int64
	rows   int
	may    []*tree // that can have stored all of them
	usual  []*tree // and whose columns usually have such values
}

func (p *profile) look(page sqlitefile.Page) {
	for i := range page.Cells() {
		cell, err := page.Cell(i)
		if err != nil {
			continue
		}
		r, err := sqlitefile.ParseRecord(cell.Local)
		if err != nil {
			continue
		}
		p.lo, p.hi, p.rows = min(p.lo, cell.RowID), max(p.hi, cell.RowID), p.rows+1
		p.may = slices.DeleteFunc(p.may, func(t *tree) bool { return !t.shape.fits(r) })
		p.usual = slices.DeleteFunc(p.usual, func(t *tree) bool { return !t.shape.fits(r) || !t.shape.usual(r) })
	}
}

// only returns the table that lacks such rows, if there is only one. Among indexes the values decide: no
// table gets a row by that.
func (p *profile) only() *tree {
	if p.rows == 0 {
		return nil
	}
	may := slices.DeleteFunc(slices.Clone(p.may), func(t *tree) bool {
		return t.rowids && !slices.ContainsFunc(t.holes, func(h hole) bool {
			return (p.lo > h.lo || h.lo == math.MinInt64) && p.hi <= h.hi
		})
	})
	isTable := func(t *tree) bool { return t.kind == "table" }
	switch {
	case len(may) == 1:
		return may[0]
	case len(p.usual) == 1 && !slices.ContainsFunc(p.may, isTable):
		return p.usual[0]
	}
	return nil
}

// each visits the pages of an owner from n on, each once.
func (d *damaged) each(ctx context.Context, owner uint16, n uint32, visit func(uint32, sqlitefile.Page) error) error {
	return d.visit(ctx, owner, n, 0, map[uint32]bool{}, visit)
}

// leaves visits the pages with rows or entries only: of an index all of them.
func (d *damaged) leaves(ctx context.Context, owner uint16, n uint32, visit func(uint32, sqlitefile.Page) error) error {
	return d.each(ctx, owner, n, func(n uint32, page sqlitefile.Page) error {
		if page.Type() == sqlitefile.TableInterior {
			return nil
		}
		return visit(n, page)
	})
}

// visit goes through a tree. seen has the interior pages that were met: a leaf has one parent, or its
// rows come twice, and the second time they are known.
func (d *damaged) visit(ctx context.Context, owner uint16, n uint32, depth int, seen map[uint32]bool, visit func(uint32, sqlitefile.Page) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n == 0 || n > d.Pages || depth > maxDepth || d.owner.of(n) != owner || seen[n] {
		return nil
	}
	page, err := d.BTree(n, make([]byte, d.PageSize))
	if err != nil {
		if malformed(err) {
			return nil
		}
		return fmt.Errorf("read page %d: %w", n, err)
	}
	if err := visit(n, page); err != nil {
		return err
	}
	if page.Type().Leaf() {
		return nil
	}
	seen[n] = true
	for i := range page.Cells() {
		if cell, err := page.Cell(i); err == nil {
			if err := d.visit(ctx, owner, cell.Child, depth+1, seen, visit); err != nil {
				return err
			}
		}
	}
	return d.visit(ctx, owner, page.RightChild(), depth+1, seen, visit)
}

// pagesOf visits the pages of a tree that hold rows or entries.
func (d *damaged) pagesOf(ctx context.Context, t *tree, visit func(uint32, sqlitefile.Page) error) error {
	for _, n := range append([]uint32{t.root}, t.tops...) {
		if err := d.leaves(ctx, t.id, n, visit); err != nil {
			return err
		}
	}
	return nil
}

func sameName(a, b string) bool { return strings.EqualFold(a, b) }
