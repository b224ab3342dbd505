package repair

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"example.com/snapd/internal/sqlitefile"
)

// Loss says which rows of a table a repaired database does not have as they were.
type Loss struct {
	Table string `json:"table"` // "" for rows on pages of no table that is known
	// Gone counts rows of which only an index entry is left.
	Gone int64 `json:"gone"`
	// Differ counts rows of which an index entry says something else: it or the row is
	// older or damaged.
	Differ int64 `json:"differ"`
	// Doubtful counts the other rows on the pages where those that are gone should be: such a page is an older copy
	// of itself, and columns that no index covers may be older than they were.
	Doubtful int64 `json:"doubtful,omitempty"`
	// RowIDs has the first of them, in order; none of a table without rowids.
	RowIDs []int64 `json:"rowids"`

	elsewhere int64 // of Gone: that the donor has
}

// maxRowIDs bounds the rowids that a Loss lists.
const maxRowIDs = 20

// String says it in words.
func (l Loss) String() string {
	s := ""
	switch {
	case l.Table == "":
		return fmt.Sprintf("%d rows on pages that belong to no table were left out: lost, or of a table that was dropped, or made since the backup", l.Gone)
	case l.Differ == 0:
		s = fmt.Sprintf("%d rows of %s are gone", l.Gone, l.Table)
	case l.Gone == 0:
		s = fmt.Sprintf("%d rows of %s are not what an index says of them", l.Differ, l.Table)
	default:
		s = fmt.Sprintf("%d rows of %s are gone and %d are not what an index says of them", l.Gone, l.Table, l.Differ)
	}
	for i, id := range l.RowIDs {
		s += fmt.Sprintf("%s%d", [2]string{" (rowids ", ", "}[min(i, 1)], id)
	}
	switch n := l.Gone + l.Differ - int64(len(l.RowIDs)); {
	case len(l.RowIDs) == 0:
	case n > 0:
		s += fmt.Sprintf(" and %d more)", n)
	default:
		s += ")"
	}
	if l.Doubtful > 0 {
		s += fmt.Sprintf(", and the %d others on their pages may be older than they were", l.Doubtful)
	}
	return s
}

// witness is an index entry whose row is not there.
type witness struct {
	index string
	rowid int64 // of a table without rowids a hash of the entry
	hash  uint64
	gone  bool
}

// maxWitnesses bounds those that are kept.
const maxWitnesses = 1 << 20

// entry is a row or an index entry in a comparison.
type entry struct {
	hash  uint64
	rowid int64
}

// entries visits all entries of a tree.
type entries func(func(entry)) error

// total is the number of entries and the sum of their hashes.
type total struct {
	n   int64
	sum uint64
}

func (e entries) total() (t total, err error) {
	err = e(func(e entry) { t.n, t.sum = t.n+1, t.sum+e.hash })
	return t, err
}

// maxCompared bounds how many entries are held in memory at once.
const maxCompared = 4 << 20

// missing visits the entries of a that b does not have. b has n entries.
func missing(a, b entries, n int64, found func(entry)) error {
	passes := uint64(n/maxCompared + 1)
	for pass := range passes {
		have := make(map[uint64]int32, min(n, maxCompared))
		err := b(func(e entry) {
			if e.hash%passes == pass {
				have[e.hash]++
			}
		})
		if err != nil {
			return err
		}
		err = a(func(e entry) {
			if e.hash%passes != pass {
				return
			}
			if have[e.hash] > 0 {
				have[e.hash]--
				return
			}
			found(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// indexEntries are the entries of an index. trouble, when not nil, gets what a lenient walk left out.
func indexEntries(ctx context.Context, s *source, o object, rowids, lenient bool, trouble *error) entries {
	return func(visit func(entry)) error {
		w, err := s.each(ctx, o, lenient, func(_ int64, payload []byte) error {
			e, err := hashEntry(payload, rowids)
			if err == nil {
				visit(e)
			}
			return err
		})
		if trouble != nil {
			*trouble = w.trouble
		}
		return err
	}
}

// hashEntry hashes an index entry by its values: SQLite may store one in two ways. rowids says that the
// last one is the row's; else the hash stands for the row.
func hashEntry(payload []byte, rowids bool) (e entry, err error) {
	r, err := sqlitefile.ParseRecord(payload)
	if err != nil {
		return e, err
	}
	var b []byte
	var last sqlitefile.Value
	for i := range r.Columns() {
		if last, err = r.Value(i); err != nil {
			return e, err
		}
		b = appendValue(b, last)
	}
	e.hash = maphash.Bytes(seed, b)
	if e.rowid = int64(e.hash); rowids {
		e.rowid = last.Int
	}
	return e, nil
}

// rowEntries are the rows of a table.
func rowEntries(ctx context.Context, s *source, o object) entries {
	return func(visit func(entry)) error {
		_, err := s.each(ctx, o, false, func(rowid int64, payload []byte) error {
			visit(entry{hashRow(rowid, payload), rowid})
			return nil
		})
		return err
	}
}

// appendValue appends bytes that distinguish v from any other value.
func appendValue(b []byte, v sqlitefile.Value) []byte {
	if v.Kind == sqlitefile.Real && v.Float == math.Trunc(v.Float) && math.Abs(v.Float) < 1<<53 {
		v = sqlitefile.Value{Kind: sqlitefile.Integer, Int: int64(v.Float)} // as SQLite may store it
	}
	b = append(b, byte(v.Kind))
	switch v.Kind {
	case sqlitefile.Integer:
		b = binary.BigEndian.AppendUint64(b, uint64(v.Int))
	case sqlitefile.Real:
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float))
	case sqlitefile.Text, sqlitefile.Blob:
		b = binary.BigEndian.AppendUint64(b, uint64(len(v.Bytes)))
		b = append(b, v.Bytes...)
	}
	return b
}

// comparison holds the old indexes against the new ones, which have exactly the rows that
// there are.
type comparison struct {
	*rebuilding
	now *source
	// whole are tables of which an old index is sound and agrees with every row.
	whole map[string]bool
	found map[string][]witness // by table
	// unknown counts the sound old indexes that do not know a row, and indexes those of
	// a table.
	unknown map[string]map[int64]int
	indexes map[string]int
}

func (c *comparison) run() error {
	c.whole, c.found = map[string]bool{}, map[string][]witness{}
	c.unknown, c.indexes = map[string]map[int64]int{}, map[string]int{}
	for _, o := range c.now.objects {
		i := slices.IndexFunc(c.objects, func(p object) bool { return p.is("index", o.name) })
		if o.kind != "index" || i < 0 {
			continue
		}
		if err := c.index(c.objects[i], o); err != nil {
			return err
		}
	}
	c.said.emptied = map[string]bool{}
	for name := range c.indexes {
		if c.rows[name].rows == 0 && !c.whole[name] && len(c.found[name]) == 0 {
			c.said.emptied[name] = true
		}
	}
	for _, name := range c.said.fullText {
		if err := c.documents(name); err != nil {
			return err
		}
	}
	for _, o := range c.now.objects {
		if o.kind == "table" && o.root != 0 && !c.whole[o.name] && holdingOf(o.name, c.now.objects) == holdsRows {
			c.said.Unproven = append(c.said.Unproven, o.name)
		}
	}
	for name, doubt := range c.doubts {
		if !c.whole[name] && !c.said.derivedTable(name) {
			return notRepairable("it is open whether all rows are there: %w", doubt)
		}
	}
	for _, o := range c.now.objects {
		if found := c.found[o.name]; o.kind == "table" && len(found) > 0 {
			if err := c.table(o, found); err != nil {
				return err
			}
		}
	}
	return nil
}

// index compares an index as it was with what it is now.
func (c *comparison) index(was, is object) error {
	d := c.rows[is.table]
	rowids := c.hasRowids(is.table)
	var trouble error
	before := indexEntries(c.ctx, c.src, was, rowids, true, &trouble)
	after := indexEntries(c.ctx, c.now, is, rowids, false, nil)
	old, err := before.total()
	if err != nil {
		return err
	}
	now, err := after.total()
	if err != nil {
		return err
	}
	complete := now.n == d.rows // not a partial index
	if complete {
		c.indexes[is.table]++
	}
	if old == now {
		if trouble == nil && complete {
			c.whole[is.table] = true
		}
		return nil
	}
	if trouble == nil && complete && rowids {
		if c.unknown[is.table] == nil {
			c.unknown[is.table] = map[int64]int{}
		}
		err := missing(after, before, old.n, func(e entry) {
			if len(c.unknown[is.table]) < maxWitnesses {
				c.unknown[is.table][e.rowid]++
			}
		})
		if err != nil {
			return err
		}
	}
	return missing(before, after, now.n, func(e entry) {
		if len(c.found[is.table]) < maxWitnesses {
			c.found[is.table] = append(c.found[is.table], witness{is.name, e.rowid, e.hash, true})
		}
	})
}

// documents finds documents of a full-text table that are gone: it keeps their sizes apart from their texts.
func (c *comparison) documents(name string) error {
	content, kept := c.now.table(name + "_content")
	sizes, sized := c.src.table(name + "_docsize")
	if !kept || !sized {
		return nil
	}
	before := rowidsOf(c.ctx, c.src, sizes, true)
	after := rowidsOf(c.ctx, c.now, content, false)
	return missing(before, after, c.rows[content.name].rows, func(e entry) {
		if len(c.found[content.name]) < maxWitnesses {
			c.found[content.name] = append(c.found[content.name], witness{sizes.name, e.rowid, e.hash, true})
		}
	})
}

// rowidsOf are the rowids of a table.
func rowidsOf(ctx context.Context, s *source, o object, lenient bool) entries {
	return func(visit func(entry)) error {
		_, err := s.each(ctx, o, lenient, func(rowid int64, _ []byte) error {
			visit(entry{hashRow(rowid, nil), rowid})
			return nil
		})
		return err
	}
}

func (c *comparison) hasRowids(table string) bool {
	i := slices.IndexFunc(c.now.objects, func(o object) bool { return o.is("table", table) })
	if i < 0 {
		return false
	}
	kind, err := c.now.tree(c.now.objects[i].root)
	return err == nil && kind == sqlitefile.TableLeaf
}

// table says what index entries say of the rows of a table that are not there. A row that
// a sound index does not know either was deleted, and the other index is what is old.
func (c *comparison) table(o object, found []witness) error {
	there := map[int64]bool{}
	for _, w := range found {
		there[w.rowid] = false
	}
	_, err := c.now.each(c.ctx, o, false, func(rowid int64, _ []byte) error {
		if _, asked := there[rowid]; asked {
			there[rowid] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	loss := Loss{Table: o.name, RowIDs: []int64{}}
	kept := []witness{}
	counted := map[int64]bool{}
	for _, w := range found {
		if w.gone = !there[w.rowid]; w.gone && c.whole[o.name] {
			continue
		}
		kept = append(kept, w)
		if counted[w.rowid] {
			continue
		}
		counted[w.rowid] = true
		if w.gone {
			loss.Gone++
		} else {
			loss.Differ++
		}
		if c.hasRowids(o.name) {
			loss.RowIDs = append(loss.RowIDs, w.rowid)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	if loss.Doubtful, err = c.doubtful(o, counted, there); err != nil {
		return err
	}
	slices.Sort(loss.RowIDs)
	loss.RowIDs = loss.RowIDs[:min(len(loss.RowIDs), maxRowIDs)]
	c.said.Lost = append(c.said.Lost, loss)
	if c.said.found == nil {
		c.said.found = map[string][]witness{}
	}
	c.said.found[o.name] = kept
	c.noteDeleted(o.name, counted)
	return nil
}

// doubtful counts the rows on pages where rows should be that are gone. lost are all that are lost, and there says which
// of them exist.
func (c *comparison) doubtful(o object, lost, there map[int64]bool) (n int64, err error) {
	var gone []int64
	for id := range lost {
		if !there[id] {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	i := slices.IndexFunc(c.objects, func(p object) bool { return p.is("table", o.name) })
	if len(gone) == 0 || i < 0 || !c.hasRowids(o.name) {
		return 0, nil
	}
	rows, from := int64(0), int64(math.MinInt64)
	end := func(last int64) { // of a leaf with the rowids from+1 to last
		first, _ := slices.BinarySearch(gone, from+1)
		if first < len(gone) && gone[first] <= last {
			n += rows
		}
		rows, from = 0, last
	}
	w := &walk{source: c.src.again(), rowids: true, lenient: true, owner: ownerTable, leaf: end, visit: func(id int64, _ []byte) error {
		if !lost[id] {
			rows++
		}
		return nil
	}}
	err = w.from(c.ctx, c.objects[i].root)
	end(math.MaxInt64)
	return n, err
}

// noteDeleted notes rows that no index knows, of which there are several: such a row was deleted, and a page
// of the table that is older than the indexes brought it back.
func (c *comparison) noteDeleted(table string, witnessed map[int64]bool) {
	for id, n := range c.unknown[table] {
		if n < 2 || n < c.indexes[table] || witnessed[id] {
			continue
		}
		if c.said.deleted == nil {
			c.said.deleted = map[string]map[int64]bool{}
		}
		if c.said.deleted[table] == nil {
			c.said.deleted[table] = map[int64]bool{}
		}
		c.said.deleted[table][id] = true
	}
}
