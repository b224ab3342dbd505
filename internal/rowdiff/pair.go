package rowdiff

import (
	"context"
	"errors"
	"math"
	"slices"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// pair is a table of both states; one of them may not have it.
type pair struct {
	d       *Diff
	name    string
	objects [2]*Object
	tables  [2]*Table // nil where there is none, or it cannot be read
	failed  error     // why it cannot be read
	derived bool      // and needs not be: its content is that of other tables, or is known to be equal

	columns  []string // those that are compared
	places   [2][]int // their numbers in either table
	key      keyOrder // by the numbers of compared columns; nil where rows are not matched by key
	by       ComparedBy
	order    order
	ranges   []Range // of rowids that may differ
	equal    bool    // nothing differs
	prepared bool
	counted  *TableCounts
	sorted   [2]*sorted // for rowsSorted
	moved    *moved     // for ByRow
}

// order is in which order rows are read.
type order int

const (
	rowsByRowID  order = iota // both tables in ranges of rowids
	rowsByKey                 // both in the order of their key
	rowsSorted                // what differs by rowid, or all of it, sorted by key in the scratch database
	rowsAsStored              // by their places: only what has the same content is matched
)

var allRows = []Range{{math.MinInt64, math.MaxInt64}}

// plan decides how the rows are matched.
func (p *pair) plan() {
	if p.failed != nil {
		return
	}
	a, b := p.tables[0], p.tables[1]
	p.ranges = allRows
	if a == nil || b == nil {
		t := a
		if t == nil {
			t = b
		}
		p.alone(t)
		return
	}
	p.common(a, b)
	p.key = p.commonKey(a, b)
	rowids := a.RowID != "" && b.RowID != ""
	switch {
	case p.key != nil && a.Alias >= 0 && b.Alias >= 0:
		p.order, p.by = rowsByRowID, ByKey
	case p.key != nil && a.Root != 0 && b.Root != 0 && a.WithoutRowID && b.WithoutRowID && p.sameOrder(a, b):
		p.order, p.by = rowsByKey, ByKey
	case p.key != nil:
		p.order, p.by = rowsSorted, ByKey
	case rowids && len(a.Key) == 0 && len(b.Key) == 0:
		p.order, p.by = rowsByRowID, ByRowID
	case rowids:
		p.order, p.by = rowsByRowID, ByRow
	default:
		p.order, p.by = rowsAsStored, ByRow
	}
}

// alone plans for a table that only one state has.
func (p *pair) alone(t *Table) {
	for i, c := range t.Columns {
		p.columns = append(p.columns, c.Name)
		p.places[0], p.places[1] = append(p.places[0], i), append(p.places[1], i)
	}
	p.order, p.by = rowsAsStored, ByRow
	if t.RowID != "" {
		p.order, p.by = rowsByRowID, ByRowID
	}
	if len(t.Key) > 0 {
		p.key, p.by = keyOf(t), ByKey
	}
}

// common finds the columns that both tables store.
func (p *pair) common(a, b *Table) {
	at := map[string]int{}
	for i, c := range a.Columns {
		at[fold(c.Name)] = i
	}
	for i, c := range b.Columns {
		if j, ok := at[fold(c.Name)]; ok {
			p.columns = append(p.columns, c.Name)
			p.places[0], p.places[1] = append(p.places[0], j), append(p.places[1], i)
		}
	}
}

func keyOf(t *Table) (key keyOrder) {
	for _, k := range t.Key {
		key = append(key, keyPart{k.Column, k.Collation, k.Desc})
	}
	return key
}

// commonKey is the key of both tables; nil where they have none, or not the same, or one that cannot be compared.
func (p *pair) commonKey(a, b *Table) (key keyOrder) {
	if len(a.Key) != len(b.Key) {
		return nil
	}
	for i, k := range b.Key {
		column := slices.Index(p.places[1], k.Column)
		if column < 0 || p.places[0][column] != a.Key[i].Column || a.Key[i].Collation != k.Collation || !known(k.Collation) {
			return nil
		}
		key = append(key, keyPart{column, k.Collation, k.Desc})
	}
	return key
}

// sameOrder reports whether both tables have their rows in an order that keyOrder knows: SQLite compares text by its
// bytes with BINARY, and by those in UTF-8 with the other collations.
func (p *pair) sameOrder(a, b *Table) bool {
	if p.d.from.schema.Encoding != p.d.to.schema.Encoding {
		return false
	}
	for i, k := range a.Key {
		if k.Desc != b.Key[i].Desc || k.Collation != "BINARY" && p.d.encoding != sqlitefile.UTF8 {
			return false
		}
	}
	return true
}

// prepare does what has to be done once before rows are handed out.
func (p *pair) prepare(ctx context.Context) error {
	if p.prepared || p.failed != nil || p.equal {
		return nil
	}
	err := p.arrange(ctx)
	if errors.Is(err, ErrNotRead) {
		p.failed, err = err, nil
	}
	p.prepared = err == nil
	return err
}

func (p *pair) arrange(ctx context.Context) error {
	switch {
	case p.tables[0] == nil || p.tables[1] == nil:
		return nil
	case p.order == rowsSorted:
		return p.sort(ctx)
	case p.by == ByRow:
		return p.pairMoved(ctx)
	case p.by == ByRowID:
		return p.whetherRenumbered(ctx)
	}
	return nil
}

// read opens the cursors by which the rows of both tables are read, in an order that both have.
func (p *pair) read() (c [2]cursor, compare func(a, b *Row) int, err error) {
	compare = compareIDs
	for i, side := range []*Side{p.d.from, p.d.to} {
		t := p.tables[i]
		switch {
		case t == nil:
			c[i] = none{}
		case p.order == rowsByKey:
			c[i], err = p.d.byKey(side, t, p.places[i])
			compare = p.key.compare
		case p.order == rowsByRowID, p.order == rowsSorted && p.bothRowIDs():
			c[i], err = p.d.byRowID(side, t, p.places[i], p.ranges)
		default:
			c[i], err = p.d.asStored(side, t, p.places[i])
		}
		if err != nil {
			if c[0] != nil && i > 0 {
				c[0].close()
			}
			return c, nil, err
		}
	}
	return c, compare, nil
}

func (p *pair) bothRowIDs() bool { return p.tables[0].RowID != "" && p.tables[1].RowID != "" }

// none is a cursor without rows.
type none struct{}

func (none) next(context.Context) (*Row, error) { return nil, nil }
func (none) close()                             {}

// raw calls fn with what differs in the order in which rows are read.
func (p *pair) raw(ctx context.Context, fn func(before, after *Row) error) error {
	c, compare, err := p.read()
	if err != nil {
		return err
	}
	defer c[0].close()
	defer c[1].close()
	return merge(ctx, c[0], c[1], compare, fn)
}

// each calls fn with every change.
func (p *pair) each(ctx context.Context, fn func(before, after *Row) error) error {
	switch {
	case p.equal:
		return nil
	case p.sorted[0] != nil:
		return p.eachSorted(ctx, fn)
	case p.moved != nil:
		return p.eachUnmoved(ctx, fn)
	}
	return p.raw(ctx, fn)
}

// sort sorts the rows of both sides by key. Those that are the same at the same rowid are left out.
func (p *pair) sort(ctx context.Context) error {
	s, err := p.d.scratchDatabase(ctx)
	if err != nil {
		return err
	}
	var t [2]*sorted
	for i := range t {
		if t[i], err = s.sorted(ctx, p.key, p.d.encoding); err != nil {
			return err
		}
	}
	if err := p.rawOrAll(ctx, t); err != nil {
		return err
	}
	for i := range t {
		if err := t[i].added(ctx); err != nil {
			return err
		}
	}
	p.sorted = t
	return nil
}

// rawOrAll adds the rows that differ by rowid, or all of them where not both tables have rowids.
func (p *pair) rawOrAll(ctx context.Context, t [2]*sorted) error {
	if p.bothRowIDs() {
		return p.raw(ctx, func(before, after *Row) error {
			var err error
			if before != nil {
				err = t[0].add(before)
			}
			if after != nil && err == nil {
				err = t[1].add(after)
			}
			return err
		})
	}
	c, _, err := p.read()
	if err != nil {
		return err
	}
	defer c[0].close()
	defer c[1].close()
	for i := range c {
		for {
			row, err := c[i].next(ctx)
			if err != nil {
				return err
			}
			if row == nil {
				break
			}
			if err := t[i].add(row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pair) eachSorted(ctx context.Context, fn func(before, after *Row) error) error {
	a, err := p.sorted[0].cursor(len(p.columns))
	if err != nil {
		return err
	}
	defer a.close()
	b, err := p.sorted[1].cursor(len(p.columns))
	if err != nil {
		return err
	}
	defer b.close()
	ascending := slices.Clone(p.key)
	for i := range ascending {
		ascending[i].desc = false
	}
	return merge(ctx, a, b, ascending.compare, fn)
}

// whetherRenumbered finds out whether rows got other rowids: where those of the same content keep their order, and that
// leaves fewer differences, they are matched as a whole.
func (p *pair) whetherRenumbered(ctx context.Context) error {
	counts := TableCounts{Name: p.name, ComparedBy: p.by}
	if err := p.raw(ctx, counts.add); err != nil {
		return err
	}
	gone, come := counts.Removed+counts.Changed, counts.Added+counts.Changed
	if gone == 0 || come == 0 || gone+come == 2 && counts.Changed == 1 {
		p.counted = &counts
		return nil
	}
	m, err := p.findMoved(ctx)
	if err != nil {
		return err
	}
	if !m.KeepsOrder || gone+come-2*m.Pairs >= counts.Added+counts.Removed+counts.Changed {
		m.close()
		p.counted = &counts
		return nil
	}
	p.moved, p.by = m, ByRow
	return nil
}

// pairMoved has rows matched as a whole whatever their order.
func (p *pair) pairMoved(ctx context.Context) (err error) {
	p.moved, err = p.findMoved(ctx)
	return err
}

func (p *pair) findMoved(ctx context.Context) (*moved, error) {
	s, err := p.d.scratchDatabase(ctx)
	if err != nil {
		return nil, err
	}
	m, err := s.moved(ctx)
	if err != nil {
		return nil, err
	}
	err = p.raw(ctx, func(before, after *Row) error {
		var err error
		if before != nil {
			err = m.row(0, before)
		}
		if after != nil && err == nil {
			err = m.row(1, after)
		}
		return err
	})
	if err == nil {
		err = m.pair(ctx)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (p *pair) eachUnmoved(ctx context.Context, fn func(before, after *Row) error) error {
	left := func(side int, r *Row, give func() error) error {
		if r == nil {
			return nil
		}
		if has, err := p.moved.has(side, r); err != nil || has {
			return err
		}
		return give()
	}
	return p.raw(ctx, func(before, after *Row) error {
		if err := left(0, before, func() error { return fn(before, nil) }); err != nil {
			return err
		}
		return left(1, after, func() error { return fn(nil, after) })
	})
}

// add counts a change.
func (t *TableCounts) add(before, after *Row) error {
	switch {
	case before == nil:
		t.Added++
	case after == nil:
		t.Removed++
	default:
		t.Changed++
	}
	return nil
}

func (p *pair) count(ctx context.Context) (TableCounts, error) {
	counts := TableCounts{Name: p.name}
	err := p.prepare(ctx)
	switch {
	case err != nil:
		return counts, err
	case p.counted != nil:
		return *p.counted, nil
	case p.failed == nil && (p.tables[0] == nil || p.tables[1] == nil):
		err = p.countAlone(ctx, &counts)
	case p.failed == nil:
		err = p.each(ctx, counts.add)
	}
	if errors.Is(err, ErrNotRead) {
		p.failed, err = err, nil
	}
	if p.failed != nil {
		counts = TableCounts{Name: p.name}
		if !p.derived {
			counts.NotCompared = p.failed.Error()
		}
	}
	counts.ComparedBy = p.by
	p.counted = &counts
	return counts, err
}

// countAlone counts the rows of a table that only one state has.
func (p *pair) countAlone(ctx context.Context, counts *TableCounts) error {
	for i, side := range []*Side{p.d.from, p.d.to} {
		if p.tables[i] == nil {
			continue
		}
		n, err := side.Conn.Int(ctx, "SELECT count(*) FROM main."+sqlite.QuoteName(p.tables[i].From))
		if err != nil {
			return side.explain(err)
		}
		if i == 0 {
			counts.Removed = n
		} else {
			counts.Added = n
		}
	}
	return nil
}

func (p *pair) close() {
	if p.moved != nil {
		p.moved.close()
	}
}
