package rowdiff

import (
	"context"
	"fmt"
	"strings"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// rows writes the changes of one table.
func (p *patch) rows(ctx context.Context, t *pair) error {
	if !p.touched[fold(t.name)] || t.objects[1] == nil {
		return nil
	}
	if p.remade[fold(t.name)] {
		return p.allRows(ctx, t)
	}
	r := rowPatch{patch: p, pair: t, table: t.tables[0], again: t.tables[0].Unique || t.objects[0].virtual()}
	if err := t.each(ctx, r.deletion); err != nil {
		return err
	}
	return t.each(ctx, r.rest)
}

// allRows fills a table that was created.
func (p *patch) allRows(ctx context.Context, t *pair) error {
	if t.tables[1] == nil {
		if t.objects[1].virtual() { // its rows are in another table, or its module's own matter
			return nil
		}
		return fmt.Errorf("%w: table %s: %w", ErrNoPatch, t.name, t.failed)
	}
	if err := named(t.tables[1]); err != nil {
		return err
	}
	whole := &pair{d: t.d, name: t.name, tables: [2]*Table{1: t.tables[1]}, objects: [2]*Object{1: t.objects[1]}}
	whole.plan()
	r := rowPatch{patch: p, pair: whole, table: t.tables[1]}
	return whole.each(ctx, r.rest)
}

// named returns ErrNoPatch for a table whose columns are not known by name.
func named(t *Table) error {
	if t == nil || !t.Unnamed {
		return nil
	}
	return fmt.Errorf("%w: the columns of table %s are known to its module only, which is not here", ErrNoPatch, t.Name)
}

// rowPatch writes the statements for one table.
type rowPatch struct {
	*patch
	pair  *pair
	table *Table
	again bool // changed rows are deleted and inserted again: as updates they could meet in a UNIQUE index
}

func (r *rowPatch) deletion(before, after *Row) error {
	if before == nil || after != nil && !r.again {
		return nil
	}
	where, err := r.where(before)
	if err != nil {
		return err
	}
	r.line("DELETE FROM main.%s WHERE %s;", sqlite.QuoteName(r.pair.name), where)
	return nil
}

func (r *rowPatch) rest(before, after *Row) error {
	switch {
	case after == nil:
		return nil
	case before == nil || r.again:
		r.insertion(after)
		return nil
	}
	where, err := r.where(before)
	if err != nil {
		return err
	}
	var set []string
	for i, name := range r.pair.columns {
		if !identical(before.Values[i], after.Values[i]) {
			set = append(set, sqlite.QuoteName(name)+"="+r.literal(after.Values[i]))
		}
	}
	r.line("UPDATE main.%s SET %s WHERE %s;", sqlite.QuoteName(r.pair.name), strings.Join(set, ","), where)
	return nil
}

func (r *rowPatch) insertion(row *Row) {
	names, values := make([]string, 0, len(row.Values)+1), make([]string, 0, len(row.Values)+1)
	if r.pair.by == ByRowID && r.table.Alias < 0 {
		names, values = append(names, r.table.RowID), append(values, fmt.Sprint(row.ID))
	}
	for i, name := range r.pair.columns {
		name = sqlite.QuoteName(name)
		if r.table.From != r.table.Name && i == r.table.Alias {
			name = "rowid" // of a virtual table
		}
		names, values = append(names, name), append(values, r.literal(row.Values[i]))
	}
	if len(names) == 0 {
		r.line("INSERT INTO main.%s DEFAULT VALUES;", sqlite.QuoteName(r.pair.name))
		return
	}
	r.line("INSERT INTO main.%s(%s) VALUES(%s);", sqlite.QuoteName(r.pair.name), strings.Join(names, ","), strings.Join(values, ","))
}

// where names a row of the first state.
func (r *rowPatch) where(row *Row) (string, error) {
	t := r.table
	if t.From != t.Name { // a virtual table
		return "rowid=" + r.literal(row.Values[t.Alias]), nil
	}
	var parts []string
	for _, k := range r.pair.key {
		if row.Values[k.value].Kind == sqlitefile.Null {
			parts = nil
			break
		}
		parts = append(parts, sqlite.QuoteName(r.pair.columns[k.value])+"="+r.literal(row.Values[k.value]))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, " AND "), nil
	case t.RowID != "":
		return fmt.Sprintf("%s=%d", quoteRowID(t), row.ID), nil
	}
	// A key with a collation that is not known here, or with NULL.
	for _, k := range t.Key {
		for i, place := range r.pair.places[0] {
			if place == k.Column {
				parts = append(parts, sqlite.QuoteName(r.pair.columns[i])+" IS "+r.literal(row.Values[i]))
			}
		}
	}
	if len(parts) < len(t.Key) || len(parts) == 0 {
		return "", fmt.Errorf("%w: the rows of table %s have no name", ErrNoPatch, t.Name)
	}
	return strings.Join(parts, " AND "), nil
}
