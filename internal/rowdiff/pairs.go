package rowdiff

import (
	"context"

	"example.com/snapd/internal/sqlitefile"
)

// Match says how the rows of a table that both states have are matched.
type Match struct {
	By         ComparedBy
	From, To   *Table
	Columns    []string            // that both store, by their names in To
	FromPlaces []int               // their numbers in From
	ToPlaces   []int               // and in To
	Key        []int               // numbers in Columns of what rows are matched by; nil unless By is ByKey
	Encoding   sqlitefile.Encoding // of the text of all rows
}

// Match returns how the rows of a table are matched. From or To is nil where that state does not have it. Errors: ErrNoTable, ErrNotRead.
func (d *Diff) Match(ctx context.Context, table string) (Match, error) {
	p, err := d.pair(table)
	if err != nil {
		return Match{}, err
	}
	if p.failed == nil && p.by != ByKey && p.tables[0] != nil && p.tables[1] != nil {
		if err := p.prepare(ctx); err != nil { // whether rowids still mean something
			return Match{}, err
		}
	}
	return p.match()
}

// Planned is Match as far as the schemas say it: no row is read, and whether rowids still mean something is not known.
func (d *Diff) Planned(table string) (Match, error) {
	p, err := d.pair(table)
	if err != nil {
		return Match{}, err
	}
	return p.match()
}

func (p *pair) match() (Match, error) {
	if p.failed != nil {
		return Match{}, p.failed
	}
	m := Match{By: p.by, From: p.tables[0], To: p.tables[1], Columns: p.columns, FromPlaces: p.places[0], ToPlaces: p.places[1], Encoding: p.d.encoding}
	for _, part := range p.key {
		m.Key = append(m.Key, part.value)
	}
	return m, nil
}

// Pairs calls fn with each row in which a table differs, in the columns of Match: before is nil for one that only the second
// state has, after for one that only the first has. They are good until fn returns. Errors: as of Rows.
func (d *Diff) Pairs(ctx context.Context, table string, fn func(before, after *Row) error) error {
	p, err := d.pair(table)
	if err != nil {
		return err
	}
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if p.failed != nil {
		return p.failed
	}
	return p.each(ctx, fn)
}

// Schemas are those of both states.
func (d *Diff) Schemas() (from, to *Schema) { return d.from.schema, d.to.schema }

// Table returns the table of a name; ok is false where there is none, or a view.
func (s *Schema) Table(name string) (Object, bool) { return s.table(name) }

// Identical reports whether two values are stored alike.
func Identical(a, b sqlitefile.Value) bool { return identical(a, b) }
