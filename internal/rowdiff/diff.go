package rowdiff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

const (
	schemaTime   = 4 * time.Second // of each state
	schemaMemory = 128 << 20
)

// ComparedBy says how the rows of a table were matched.
type ComparedBy string

// What rows are matched by.
const (
	ByKey   ComparedBy = "key"   // the declared primary key
	ByRowID ComparedBy = "rowid" // where none is declared
	ByRow   ComparedBy = "row"   // as a whole: neither of the two holds
)

// ChangeKind says what became of an object of the schema.
type ChangeKind string

// What becomes of an object.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// SchemaChange is an object of the schema that is not the same in both states: a table, index, view or trigger, or one of the
// numbers user_version and application_id, whose Type is "pragma".
type SchemaChange struct {
	Type   string     `json:"type"`
	Object string     `json:"object"`
	Change ChangeKind `json:"change"`
}

// Table counts the rows in which a table differs.
type TableCounts struct {
	Name       string     `json:"name"`
	Added      int64      `json:"added"`
	Removed    int64      `json:"removed"`
	Changed    int64      `json:"changed"`
	ComparedBy ComparedBy `json:"compared_by"`
	// NotCompared says why nothing is known of its rows; "" where they were compared.
	NotCompared string `json:"not_compared,omitempty"`
}

// Differs reports whether there is a difference.
func (t TableCounts) Differs() bool { return t.Added+t.Removed+t.Changed > 0 || t.NotCompared != "" }

// of counts the rows to which op happened; "": anything.
func (t TableCounts) of(op Op) int64 {
	switch op {
	case Insert:
		return t.Added
	case Delete:
		return t.Removed
	case Update:
		return t.Changed
	default:
		return t.Added + t.Removed + t.Changed
	}
}

// Diff is the comparison of two states. It is for one goroutine, and reads both while it is used.
type Diff struct {
	from, to *Side
	encoding sqlitefile.Encoding // of the text of all rows
	scratch  string
	spill    *spill // nil until it is needed
	schema   []SchemaChange
	pairs    []*pair
	cut      int // bytes of a value that a Change has; 0: all
}

// New compares the schemas of two states. scratch is the directory for what does not fit into memory, "" the system's. Errors:
// ErrDamaged, ErrTooMuch, SQLite's.
func New(ctx context.Context, from, to *Side, scratch string) (*Diff, error) {
	d := &Diff{from: from, to: to, scratch: scratch}
	for _, side := range []*Side{from, to} {
		if err := side.start(ctx); err != nil {
			return nil, fmt.Errorf("read the schema: %w", err)
		}
	}
	if d.encoding = from.schema.Encoding; d.encoding != to.schema.Encoding {
		d.encoding = sqlitefile.UTF8
	}
	d.compareSchemas()
	if err := d.pairTables(ctx); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	for _, side := range []*Side{from, to} {
		side.Conn.Limit(sqlite.Budget{})
	}
	return d, nil
}

// Close removes what was kept.
func (d *Diff) Close() error {
	var err error
	for _, p := range d.pairs {
		p.close()
	}
	if d.spill != nil {
		err = d.spill.close()
	}
	return err
}

// Schema lists the objects that are not the same, in the order in which they were made.
func (d *Diff) Schema() []SchemaChange { return d.schema }

func (d *Diff) compareSchemas() {
	type id struct{ kind, name string }
	index := func(s *Schema) map[id]Object {
		all := map[id]Object{}
		for _, o := range s.Objects {
			if o.SQL != "" && !o.own() && !s.shadow(o) {
				all[id{o.Type, fold(o.Name)}] = o
			}
		}
		return all
	}
	a, b := index(d.from.schema), index(d.to.schema)
	each := func(s *Schema, mine map[id]Object, fn func(id, Object)) {
		for _, o := range s.Objects {
			if k := (id{o.Type, fold(o.Name)}); mine[k] == o {
				fn(k, o)
			}
		}
	}
	each(d.from.schema, a, func(k id, o Object) {
		if _, ok := b[k]; !ok {
			d.schema = append(d.schema, SchemaChange{o.Type, o.Name, Removed})
		}
	})
	each(d.to.schema, b, func(k id, o Object) {
		if before, ok := a[k]; !ok {
			d.schema = append(d.schema, SchemaChange{o.Type, o.Name, Added})
		} else if before.SQL != o.SQL || before.Name != o.Name || before.virtual() != o.virtual() {
			d.schema = append(d.schema, SchemaChange{o.Type, o.Name, Changed})
		}
	})
	if d.from.schema.UserVersion != d.to.schema.UserVersion {
		d.schema = append(d.schema, SchemaChange{"pragma", "user_version", Changed})
	}
	if d.from.schema.AppID != d.to.schema.AppID {
		d.schema = append(d.schema, SchemaChange{"pragma", "application_id", Changed})
	}
}

// pairTables pairs the tables of both states by name, in the order of name.
func (d *Diff) pairTables(ctx context.Context) error {
	byName := map[string]*pair{}
	columns := 0
	for i, side := range []*Side{d.from, d.to} {
		for _, o := range side.schema.Objects {
			if o.Type != "table" || o.own() || side.schema.shadow(o) {
				continue
			}
			p := byName[fold(o.Name)]
			if p == nil {
				p = &pair{d: d}
				byName[fold(o.Name)] = p
				d.pairs = append(d.pairs, p)
			}
			p.name, p.objects[i] = o.Name, &o
			t, err := side.schema.Describe(ctx, side.Conn, o)
			if err != nil {
				if err = side.explain(err); !errors.Is(err, ErrNotRead) && sqlite.Classify(err) != sqlite.ClassOther {
					return err
				}
				p.failed, p.derived = err, p.derived || derived(o)
				continue
			}
			p.tables[i] = t
			if columns += len(t.Columns); columns > maxColumns {
				return fmt.Errorf("%w: more than %d columns", ErrTooMuch, maxColumns)
			}
		}
	}
	for _, p := range d.pairs {
		p.plan()
	}
	slices.SortStableFunc(d.pairs, func(a, b *pair) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// Tables are the names of the tables of both states, in order.
func (d *Diff) Tables() (names []string) {
	for _, p := range d.pairs {
		names = append(names, p.name)
	}
	return names
}

// ErrNoTable: neither state has the table.
var ErrNoTable = errors.New("no such table")

func (d *Diff) pair(table string) (*pair, error) {
	for _, p := range d.pairs {
		if fold(p.name) == fold(table) {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoTable, table)
}

// Count counts the rows in which a table differs. Errors: ErrNoTable, ErrDamaged, those of reading.
func (d *Diff) Count(ctx context.Context, table string) (TableCounts, error) {
	p, err := d.pair(table)
	if err != nil {
		return TableCounts{}, err
	}
	counts, err := p.count(ctx)
	if err != nil {
		return counts, fmt.Errorf("table %s: %w", p.name, err)
	}
	return counts, nil
}

// Rows calls fn with each change of a table, in the order of rowid or key. Errors: as of Count, and fn's.
func (d *Diff) Rows(ctx context.Context, table string, fn func(Change) error) error {
	p, err := d.pair(table)
	if err != nil {
		return err
	}
	if err := p.prepare(ctx); err != nil || p.failed != nil {
		return err
	}
	return p.each(ctx, func(before, after *Row) error { return fn(p.change(before, after)) })
}

// scratchDatabase is made when it is needed first.
func (d *Diff) scratchDatabase(ctx context.Context) (*spill, error) {
	if d.spill == nil {
		s, err := newSpill(ctx, d.scratch)
		if err != nil {
			return nil, err
		}
		d.spill = s
	}
	return d.spill, nil
}
