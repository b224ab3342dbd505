package rowdiff

import (
	"context"
	"errors"
	"io"
)

// Options say what of a comparison is wanted. The zero value counts the rows of all tables.
type Options struct {
	Table  string // only this one
	Rows   int    // most changes of each table in the result
	Offset int64  // changes of each table that are left out before those
	Op     Op     // only such changes among them; "": all
	Bytes  int64  // about how much memory those may take; 0: as much as they do
	Value  int    // bytes of a text or blob; what is longer is cut off; 0: nothing is
	// Each is called with every change of every table that is looked at, whatever Rows says. An error of it ends the comparison.
	Each func(table string, c Change) error
	// Patch gets the SQL that makes of the first state what the second one is.
	Patch io.Writer
}

// Result says in what the state To differs from the state From.
type Result struct {
	From   string         `json:"from"`
	To     string         `json:"to"`
	Schema []SchemaChange `json:"schema"`
	Tables []TableChanges `json:"tables"` // only those that differ
}

// TableChanges are the differences of a table.
type TableChanges struct {
	TableCounts
	Rows      []Change `json:"rows,omitempty"`
	Truncated bool     `json:"truncated"` // there are more than the Rows that were asked for
}

var errEnough = errors.New("enough rows")

// Compare carries out what is wanted.
func (d *Diff) Compare(ctx context.Context, o Options) (Result, error) {
	r := Result{Schema: []SchemaChange{}, Tables: []TableChanges{}}
	if o.Table == "" {
		r.Schema = append(r.Schema, d.schema...)
	} else if _, err := d.pair(o.Table); err != nil {
		return r, err
	}
	for _, s := range d.schema {
		if o.Table != "" && (s.Type == "table" || s.Type == "view") && fold(s.Object) == fold(o.Table) {
			r.Schema = append(r.Schema, s)
		}
	}
	for _, p := range d.pairs {
		if o.Table != "" && fold(p.name) != fold(o.Table) {
			continue
		}
		counts, err := d.Count(ctx, p.name)
		if err != nil {
			return r, err
		}
		if !counts.Differs() {
			continue
		}
		t := TableChanges{TableCounts: counts}
		if err := d.list(ctx, o, &t); err != nil {
			return r, err
		}
		r.Tables = append(r.Tables, t)
	}
	if o.Patch == nil {
		return r, nil
	}
	return r, d.Patch(ctx, o.Patch, o.Table)
}

// list lists changes of a table, as many as are wanted.
func (d *Diff) list(ctx context.Context, o Options, t *TableChanges) error {
	if o.Rows == 0 && o.Each == nil {
		return nil
	}
	d.cut = o.Value
	at, bytes := int64(0), int64(0)
	err := d.Rows(ctx, t.Name, func(c Change) error {
		full := len(t.Rows) >= o.Rows || o.Bytes > 0 && bytes >= o.Bytes
		if o.Op == "" || o.Op == c.Op {
			if at++; at > o.Offset && !full {
				t.Rows = append(t.Rows, c)
				bytes += c.size()
			}
		}
		switch {
		case o.Each != nil:
			return o.Each(t.Name, c)
		case full:
			return errEnough
		}
		return nil
	})
	t.Truncated = o.Rows > 0 && (o.Offset > 0 || int64(len(t.Rows)) < t.of(o.Op))
	if errors.Is(err, errEnough) {
		err = nil
	}
	return err
}
