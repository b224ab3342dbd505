package rowdiff

import (
	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/sqlitefile"
)

// Op is what happened to a row.
type Op string

// What happens to a row.
const (
	Insert Op = "insert"
	Delete Op = "delete"
	Update Op = "update"
)

// Change is a row in which two states differ.
type Change struct {
	Op     Op     `json:"op"`
	Key    Fields `json:"key"`    // the columns of the primary key, or "rowid"; nil where rows are compared as a whole
	Before Fields `json:"before"` // of a deleted row all columns, of an updated one those that changed
	After  Fields `json:"after"`  // the same of an inserted and an updated row
}

// Field is the value of a column: nil, int64, float64, string or []byte.
type Field struct {
	Column string
	Value  any
}

// Fields are columns of a row, in the order of the table.
type Fields []Field

// MarshalJSON writes an object, null for none, with values as dump.Row's.
func (f Fields) MarshalJSON() ([]byte, error) {
	if f == nil {
		return []byte("null"), nil
	}
	b := []byte{'{'}
	for i, field := range f {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(dump.AppendJSON(b, field.Column), ':')
		b = dump.AppendJSON(b, field.Value)
	}
	return append(b, '}'), nil
}

// change is what a pair of rows says. It keeps nothing of them.
func (p *pair) change(before, after *Row) Change {
	c := Change{Op: Update}
	of := before
	switch {
	case before == nil:
		c.Op, of = Insert, after
	case after == nil:
		c.Op = Delete
	}
	switch p.by {
	case ByKey:
		for _, part := range p.key {
			c.Key = append(c.Key, p.field(of, part.value))
		}
	case ByRowID:
		c.Key = Fields{{"rowid", of.ID}}
	}
	for i := range p.columns {
		if c.Op == Update && identical(before.Values[i], after.Values[i]) {
			continue
		}
		if before != nil {
			c.Before = append(c.Before, p.field(before, i))
		}
		if after != nil {
			c.After = append(c.After, p.field(after, i))
		}
	}
	return c
}

func (p *pair) field(r *Row, i int) Field { return FieldOf(p.columns[i], r.Values[i], p.d.encoding) }

// FieldOf is a value, whose text is of encoding e, as that of a column. It keeps nothing of it.
func FieldOf(column string, v sqlitefile.Value, e sqlitefile.Encoding) Field {
	f := Field{Column: column}
	switch v.Kind {
	case sqlitefile.Integer:
		f.Value = v.Int
	case sqlitefile.Real:
		f.Value = v.Float
	case sqlitefile.Text:
		f.Value = e.Text(v.Bytes)
	case sqlitefile.Blob:
		f.Value = append([]byte{}, v.Bytes...)
	}
	return f
}
