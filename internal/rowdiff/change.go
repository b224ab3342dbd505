package rowdiff

import (
	"strconv"
	"strings"

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
	Bytes  int64 // of a text or blob that was cut: how many it has; else 0
}

// Fields are columns of a row, in the order of the table.
type Fields []Field

// MarshalJSON writes an object, null for none, with values as dump.Row's. Of a value that was cut it is {"text":…,"bytes":n},
// or base64 in the place of text.
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
		b = field.appendJSON(b)
	}
	return append(b, '}'), nil
}

func (f Field) appendJSON(b []byte) []byte {
	if f.Bytes == 0 {
		return dump.AppendJSON(b, f.Value)
	}
	if blob, ok := f.Value.([]byte); ok {
		b = dump.AppendJSON(b, blob)
		b = b[:len(b)-1] // of {"base64":…}
	} else {
		b = dump.AppendJSON(append(b, `{"text":`...), f.Value)
	}
	return append(strconv.AppendInt(append(b, `,"bytes":`...), f.Bytes, 10), '}')
}

// size is about how much memory the change takes, in bytes.
func (c Change) size() (bytes int64) {
	const each = 64 // a Field, and what it points to
	for _, fields := range []Fields{c.Key, c.Before, c.After} {
		for _, f := range fields {
			bytes += each
			switch v := f.Value.(type) {
			case string:
				bytes += int64(len(v))
			case []byte:
				bytes += int64(len(v))
			}
		}
	}
	return bytes
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
			c.Key = append(c.Key, p.field(of, part.value, 0))
		}
	case ByRowID:
		c.Key = Fields{{Column: "rowid", Value: of.ID}}
	}
	for i := range p.columns {
		if c.Op == Update && identical(before.Values[i], after.Values[i]) {
			continue
		}
		if before != nil {
			c.Before = append(c.Before, p.field(before, i, p.d.cut))
		}
		if after != nil {
			c.After = append(c.After, p.field(after, i, p.d.cut))
		}
	}
	return c
}

// field is a value, of which bytes after cut are left out, unless that is 0.
func (p *pair) field(r *Row, i, cut int) Field {
	v := r.Values[i]
	size := len(v.Bytes)
	if cut == 0 || size <= cut {
		return FieldOf(p.columns[i], v, p.d.encoding)
	}
	v.Bytes = v.Bytes[:cut&^3] // of UTF-16 no half
	f := FieldOf(p.columns[i], v, p.d.encoding)
	if text, ok := f.Value.(string); ok {
		f.Value = strings.ToValidUTF8(text, "")
	}
	f.Bytes = int64(size)
	return f
}

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
