package rowdiff

import (
	"context"
	"maps"
	"slices"

	"example.com/snapd/internal/sqlitefile"
)

// placed says which tree of a state each page is of. Where it is known which pages changed, that of the state before follows from it, without a
// walk of all trees: only what changed interior pages name can be of another tree.
type placed struct {
	trees []string // by their numbers, from 1 on
	of    []uint16 // the number of each page's tree; 0: overflow pages, free ones
}

func (p *placed) tree(n uint32) uint16 {
	if int(n) < len(p.of) {
		return p.of[n]
	}
	return 0
}

// maxStep bounds the changed pages of a step, which are in memory.
const maxStep = 2048

// step is a comparison with the state before one whose pages have their places.
type step struct {
	*narrowing
	now, was *placed
	changed  []uint32
	pages    [2]map[uint32][]byte // those that changed, and those that moved between trees
	found    map[uint16]*ranges
	differs  map[uint16]bool // trees that are not tables with rowids
}

// step narrows the comparison by the places that pages have in the second state. It is false where that says too little: the schema changed, rows
// changed in overflow pages alone, interior pages moved between trees. What is damaged is not judged here.
func (n *narrowing) step(ctx context.Context) (ok bool, err error) {
	s := &step{narrowing: n, now: n.to.placed, found: map[uint16]*ranges{}, differs: map[uint16]bool{}}
	if s.now == nil || !slices.Equal(n.from.schema.Objects, n.to.schema.Objects) {
		return false, nil
	}
	eachPage(len(n.changed), n.changed.word, func(page uint32) bool {
		s.changed = append(s.changed, page)
		return len(s.changed) <= maxStep
	})
	if len(s.changed) > maxStep {
		return false, nil
	}
	for side := range s.pages {
		if err := s.read(ctx, side, s.changed); err != nil {
			return false, err
		}
	}
	moved, ok := s.place()
	if !ok {
		return false, nil
	}
	for side := range s.pages {
		if err := s.read(ctx, side, moved); err != nil {
			return false, err
		}
	}
	for side := range s.pages {
		if !s.look(side) {
			return false, nil
		}
		if ok, err := s.account(ctx, side); err != nil || !ok {
			return false, err
		}
	}
	s.take()
	return true, n.readAhead(ctx)
}

// read reads pages of a state, those that it has.
func (s *step) read(ctx context.Context, side int, pages []uint32) error {
	if s.pages[side] == nil {
		s.pages[side] = map[uint32][]byte{}
	}
	end, _ := slices.BinarySearch(pages, s.images[side].count+1)
	return s.images[side].pages(ctx, pages[:end], func(n uint32, b []byte) error {
		s.pages[side][n] = slices.Clone(b)
		return nil
	})
}

func (s *step) parse(side int, n uint32) (sqlitefile.Page, bool) {
	b, ok := s.pages[side][n]
	if !ok {
		return sqlitefile.Page{}, false
	}
	p, err := sqlitefile.ParsePage(b, n, s.images[side].usable)
	return p, err == nil
}

// children are those of an interior page; ok is false where it names what is no page.
func children(p sqlitefile.Page, count uint32) (list []uint32, ok bool) {
	if p.Type().Leaf() {
		return nil, true
	}
	for c := range p.Cells() {
		cell, err := p.Cell(c)
		if err != nil {
			return nil, false
		}
		list = append(list, cell.Child)
	}
	list = append(list, p.RightChild())
	return list, !slices.ContainsFunc(list, func(n uint32) bool { return n == 0 || n > count })
}

// place finds the trees of the pages in the first state, and returns the unchanged pages whose tree is another one, in order.
func (s *step) place() (moved []uint32, ok bool) {
	s.was = &placed{trees: s.now.trees, of: make([]uint16, s.images[0].count+1)}
	copy(s.was.of, s.now.of)
	touched := map[uint32]bool{}
	for _, n := range s.changed { // what they named has no place
		if s.now.tree(n) == 0 {
			continue
		}
		p, ok := s.parse(1, n)
		if !ok {
			return nil, false
		}
		list, ok := children(p, s.images[1].count)
		if !ok {
			return nil, false
		}
		for _, c := range list {
			if touched[c] = true; c < uint32(len(s.was.of)) {
				s.was.of[c] = 0
			}
		}
	}
	done := map[uint32]bool{}
	for more := true; more; { // until it gets one again, from the top down
		more = false
		for _, n := range s.changed {
			tree := s.was.tree(n)
			p, ok := s.parse(0, n)
			if done[n] || tree == 0 || !ok || p.Type().Leaf() {
				continue
			}
			list, ok := children(p, s.images[0].count)
			if !ok {
				return nil, false
			}
			for _, c := range list {
				if s.was.of[c] != 0 {
					return nil, false
				}
				s.was.of[c], touched[c] = tree, true
			}
			done[n], more = true, true
		}
	}
	for n := range touched {
		if s.was.tree(n) != s.now.tree(n) && !s.narrowing.changed.has(n) {
			moved = append(moved, n)
		}
	}
	slices.Sort(moved)
	return moved, true
}

// look finds the rows that may differ on the pages of a state; false where a page is not what its place says, or an interior one moved.
func (s *step) look(side int) bool {
	at := []*placed{s.was, s.now}[side]
	for n := range s.pages[side] {
		tree := at.tree(n)
		p, ok := s.parse(side, n)
		switch {
		case !s.narrowing.changed.has(n) && (!ok || !p.Type().Leaf()):
			return false
		case tree == 0:
			continue
		case !ok:
			return false
		case !p.Type().Table():
			s.differs[tree] = true
			continue
		case !p.Type().Leaf():
			continue
		}
		var r Range
		rows := 0
		for c := range p.Cells() {
			cell, err := p.Cell(c)
			if err != nil {
				return false
			}
			if rows++; rows == 1 {
				r.From = cell.RowID
			}
			r.To = cell.RowID
		}
		if rows == 0 {
			continue
		}
		if s.found[tree] == nil {
			s.found[tree] = &ranges{}
		}
		s.found[tree].add(r)
		s.leaves[side].add(n)
	}
	return true
}

// account reports whether every changed page of a state has its place: in a tree, in a row of a page that changed, or in the freelist.
func (s *step) account(ctx context.Context, side int) (bool, error) {
	at, i := []*placed{s.was, s.now}[side], s.images[side]
	missing := func() bool {
		return slices.ContainsFunc(s.changed, func(n uint32) bool { return n <= i.count && at.tree(n) == 0 && !i.others(n) && !i.seen.has(n) })
	}
	if !missing() {
		return true, nil
	}
	var trees []uint32
	for n := range s.pages[side] {
		if at.tree(n) != 0 {
			trees = append(trees, n)
		}
	}
	slices.Sort(trees)
	if err := s.chains(ctx, side, trees, func(overflow, bool) error { return nil }); err != nil {
		return false, err
	}
	if missing() {
		if err := i.freelist(); err != nil {
			return false, err
		}
	}
	return !missing(), nil
}

// take hands on what was found.
func (s *step) take() {
	roots := map[string]uint32{}
	for _, o := range s.from.schema.Objects {
		roots[o.Type+" "+fold(o.Name)] = o.Root
	}
	known := maps.Clone(s.known[1].pages)
	for _, n := range s.changed {
		delete(known, n)
		if p, ok := s.parse(0, n); ok && s.was.tree(n) != 0 && !p.Type().Leaf() {
			known[n] = s.pages[0][n]
		}
	}
	*s.known[0] = knownPages{known, len(known) * s.images[0].size}
	for i, name := range s.was.trees {
		tree := uint16(i + 1)
		s.there[name], s.equal[name] = true, !s.differs[tree]
		if found := s.found[tree]; found != nil {
			s.equal[name], s.ranges[name] = false, found.joined()
			for _, r := range s.ranges[name] {
				for side := range s.images {
					s.keepPath(side, roots[name], r.From)
				}
			}
		}
	}
	for _, p := range s.pairs {
		s.apply(p)
	}
	s.from.placed = s.was
}

// keepPath has SQLite read the interior pages above a row from memory, those that are known.
func (s *step) keepPath(side int, n uint32, rowid int64) {
	for range maxDepth {
		b, ok := s.known[side].pages[n]
		if !ok || s.images[side].keep == nil {
			return
		}
		s.images[side].keep(int64(n), b)
		p, err := sqlitefile.ParsePage(b, n, s.images[side].usable)
		if err != nil || p.Type().Leaf() {
			return
		}
		n = p.RightChild()
		for c := range p.Cells() {
			if cell, err := p.Cell(c); err == nil && cell.RowID >= rowid {
				n = cell.Child
				break
			}
		}
	}
}
