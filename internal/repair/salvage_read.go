package repair

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlitefile"
)

// schemaShape is that of sqlite_schema.
var schemaShape = &shape{alias: -1, rowids: true, stored: []int{0, 1, 2, 3, 4}, columns: []column{
	{"type", textAffinity, false}, {"name", textAffinity, false}, {"tbl_name", textAffinity, false}, {"rootpage", numberAffinity, false}, {"sql", textAffinity, false}}}

// readDamaged reads the schema of a damaged database and gives each page to what it belongs to. What
// of the schema is lost comes from the donor, nil for none. dir is for a scratch file.
func readDamaged(ctx context.Context, from Damaged, donor *source, dir string) (*damaged, error) {
	d, err := openDamaged(ctx, from, donor)
	if err != nil {
		return nil, err
	}
	schema := &tree{object: object{kind: "table", name: "sqlite_schema", table: "sqlite_schema", root: 1}, id: 1, shape: schemaShape, rowids: true}
	d.trees = []*tree{schema}
	c := &claims{damaged: d, ctx: ctx}
	if err := c.page(claim{schema, 1, math.MinInt64, math.MaxInt64, 0}); err != nil {
		return nil, err
	}
	if len(schema.holes) > 0 {
		if err := c.strayObjects(schema); err != nil {
			return nil, err
		}
	}
	if err := d.readObjects(ctx); err != nil {
		return nil, err
	}
	if donor != nil && len(schema.holes) > 0 {
		d.addObjects(donor.objects)
	}
	if err := d.plant(ctx, donor, dir); err != nil {
		return nil, err
	}
	return d, c.run()
}

// strayObjects gives leaves of the schema that have lost the way to them back to it.
func (c *claims) strayObjects(schema *tree) error {
	return c.unclaimed(func(n uint32, page sqlitefile.Page) error {
		if page.Type() != sqlitefile.TableLeaf {
			return nil
		}
		h := c.header
		found := 0
		_, err := c.rowsOn(page, n, func(r row) error {
			_, err := parseObject(r.payload, &h)
			if err == nil {
				found++
			}
			return err
		})
		if err == nil && found > 0 {
			c.owner.give(n, schema.id)
			schema.tops = append(schema.tops, n)
		}
		if err != nil && !malformed(err) {
			return err
		}
		return nil
	})
}

// readObjects reads the rows of the schema.
func (d *damaged) readObjects(ctx context.Context) error {
	var all []object
	err := d.pagesOf(ctx, d.trees[0], func(n uint32, page sqlitefile.Page) error {
		unreadable, err := d.rowsOn(page, n, func(r row) error {
			o, err := parseObject(r.payload, &d.header)
			if err != nil {
				d.trees[0].lost++ // as much as a page is: something of the schema is gone
				return nil
			}
			all = append(all, o)
			return nil
		})
		d.trees[0].lost += unreadable
		return err
	})
	d.addObjects(all)
	return err
}

// addObjects adds the objects that are not there yet.
func (d *damaged) addObjects(all []object) {
	type key struct{ kind, name string }
	have := map[key]bool{}
	for _, o := range d.objects {
		have[key{o.kind, strings.ToLower(o.name)}] = true
	}
	for _, o := range all {
		if k := (key{o.kind, strings.ToLower(o.name)}); !have[k] {
			have[k] = true
			d.objects = append(d.objects, o)
		}
	}
}

// plant makes the trees of the tables and indexes, with their shapes.
func (d *damaged) plant(ctx context.Context, donor *source, dir string) (err error) {
	s, err := newShaper(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	byName := map[string]*tree{}
	for i, o := range d.objects {
		if o.kind != "table" || o.virtual() || len(d.trees) == maxTrees {
			continue
		}
		sh, err := s.table(o)
		if err = asDamage(err); err != nil {
			return err
		}
		if old, ok := objectOf(donor, o); sh == nil && ok {
			if sh, err = s.table(old); asDamage(err) != nil {
				return err
			}
			d.objects[i].sql = old.sql
			o.sql = old.sql
		}
		t := &tree{object: o, id: uint16(len(d.trees) + 1), shape: sh, rowids: true}
		if sh != nil {
			t.rowids = sh.rowids
		} else if kind, err := d.kind(o.root); err == nil {
			t.rowids = kind
		}
		d.trees = append(d.trees, t)
		byName[strings.ToLower(o.name)] = t
	}
	for _, o := range d.objects {
		t := byName[strings.ToLower(o.table)]
		if o.kind != "index" || o.root == 0 || len(d.trees) == maxTrees || t == nil || t.shape == nil {
			continue
		}
		sh, err := s.index(o, t.object, t.shape)
		if err = asDamage(err); err != nil {
			return err
		}
		d.trees = append(d.trees, &tree{object: o, id: uint16(len(d.trees) + 1), shape: sh, table: t})
	}
	return nil
}

// virtual reports whether the object is a virtual table, which has no tree.
func (o object) virtual() bool {
	return o.kind == "table" && o.root == 0 && len(o.sql) >= len(createVirtual) && strings.EqualFold(o.sql[:len(createVirtual)], createVirtual)
}

const createVirtual = "CREATE VIRTUAL"

// kind reports whether the tree with that root has rowids.
func (d *damaged) kind(root uint32) (bool, error) {
	page, err := d.BTree(root, make([]byte, d.PageSize))
	return err == nil && page.Type().Table(), err
}

// objectOf returns the donor's object of that kind and name.
func objectOf(donor *source, o object) (object, bool) {
	if donor == nil {
		return object{}, false
	}
	i := slices.IndexFunc(donor.objects, func(p object) bool { return p.is(o.kind, o.name) })
	if i < 0 {
		return object{}, false
	}
	old := donor.objects[i]
	old.root = o.root
	return old, true
}

// row is a row or an index entry, as far as it can be read. It is good until the next one.
type row struct {
	page    uint32
	rowid   int64
	payload []byte
	values  []sqlitefile.Value
	columns int  // that the record says it has; values has those that are there
	cut     bool // its payload ends too early
	bad     bool // its record is damaged: it says that it is larger than it is
}

// maxPayload is the largest row in bytes that SQLite stores.
const maxPayload = 1_000_000_000

// rowsOn visits the rows on a page, and counts those that cannot be read.
func (d *damaged) rowsOn(page sqlitefile.Page, n uint32, visit func(row) error) (unreadable int64, err error) {
	for i := range page.Cells() {
		cell, err := page.Cell(i)
		if err != nil && page.Type().Leaf() {
			unreadable++
		}
		if err != nil {
			continue
		}
		payload, whole, err := d.payload(cell)
		if err != nil {
			return unreadable, err
		}
		record, err := sqlitefile.ParseRecord(payload)
		if err != nil {
			unreadable++
			continue
		}
		r := row{page: n, rowid: cell.RowID, payload: payload, columns: record.Columns(), cut: !whole, bad: whole && record.Size() > int64(len(payload))}
		for i := range record.Columns() {
			v, ok := record.Partial(i)
			if !ok {
				break
			}
			r.values = append(r.values, v)
		}
		if len(r.values) == 0 && r.columns > 0 {
			unreadable++
			continue
		}
		if err := visit(r); err != nil {
			return unreadable, err
		}
	}
	return unreadable, nil
}

// payload returns the payload of a cell as far as its chain of overflow pages goes, and whether that
// is all of it.
func (d *damaged) payload(c sqlitefile.Cell) (b []byte, whole bool, err error) {
	if int64(len(c.Local)) == c.Size {
		return c.Local, true, nil
	}
	b = slices.Clone(c.Local)
	if c.Size > maxPayload {
		return b, false, nil
	}
	met, steps := uint32(0), 0 // Brent's search for a cycle
	for page, err := range d.Overflow(c.Overflow, int64(d.Pages)) {
		if malformed(err) {
			return b, false, nil
		}
		if err != nil {
			return b, false, err
		}
		if steps++; page.N == met || d.owner.of(page.N) != 0 && d.owner.of(page.N) != freePage {
			return b, false, nil // it leads in a circle, or to a page of a tree
		}
		if steps&(steps-1) == 0 {
			met = page.N
		}
		b = append(b, page.Content[:min(int64(len(page.Content)), c.Size-int64(len(b)))]...)
		if int64(len(b)) == c.Size {
			return b, true, nil
		}
	}
	return b, false, nil
}
