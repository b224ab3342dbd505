package repair

import (
	"example.com/snapd/internal/sqlitefile"
)

// indexPages follows the tree of an index as far as it can be followed and adds
// every page that it names to owned: interior and leaf pages and overflow chains,
// damaged ones too: all that is known of those is that the index owns them.
type indexPages struct {
	layout
	owned map[uint32]bool
}

func (x *indexPages) follow(root uint32) error {
	b := make([]byte, x.PageSize)
	for next := []uint32{root}; len(next) > 0; {
		n := next[len(next)-1]
		next = next[:len(next)-1]
		if !x.own(n) {
			continue
		}
		if err := x.Page(n, b); err != nil {
			return err
		}
		page, err := sqlitefile.ParsePage(b, n, x.Usable)
		if err != nil || page.Type().Table() {
			continue // not a page of an index any more
		}
		children, overflow := cells(page)
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
	if n < 2 || n > x.Pages || x.owned[n] {
		return false
	}
	x.owned[n] = true
	return true
}

// cells returns the child pages and first overflow pages of a page's cells, also of
// damaged ones, as far as they can be read.
func cells(page sqlitefile.Page) (children, overflow []uint32) {
	if !page.Type().Leaf() {
		children = append(children, page.RightChild())
	}
	for i := range page.Cells() {
		c, _ := page.Cell(i)
		if c.Child != 0 {
			children = append(children, c.Child)
		}
		if c.Overflow != 0 {
			overflow = append(overflow, c.Overflow)
		}
	}
	return children, overflow
}

// chain follows overflow pages from n on.
func (x *indexPages) chain(first uint32) error {
	if !x.own(first) {
		return nil
	}
	for page, err := range x.Overflow(first, int64(x.Pages)) {
		if err != nil {
			return err
		}
		if page.Next != 0 && !x.own(page.Next) {
			return nil
		}
	}
	return nil
}
