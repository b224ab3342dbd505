package rowdiff

import (
	"context"
	"strings"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// cursor hands out rows in an order.
type cursor interface {
	// next returns the next row, nil after the last one. It is good until the next call.
	next(ctx context.Context) (*Row, error)
	close()
}

// Range is a range of rowids, both ends in it.
type Range struct{ From, To int64 }

// scan reads rows of a table by SQL.
type scan struct {
	side     *Side
	st       *sqlite.Stmt
	ranges   []Range // that are left; nil for a statement without
	ranged   bool
	started  bool
	hasID    bool
	convert  bool // text to UTF-8
	encoding sqlitefile.Encoding
	row      Row
	steps    int
	rows     int64
	large    int64 // bytes of large values so far
}

// stepsPerLook is how many rows are read between two looks at the context.
const stepsPerLook = 256

// byRowID reads the rows in ranges of rowids, in their order.
func (d *Diff) byRowID(side *Side, t *Table, columns []int, ranges []Range) (cursor, error) {
	id := quoteRowID(t)
	return d.scan(side, t, columns, id+",", " WHERE "+id+">=? AND "+id+"<=? ORDER BY "+id, ranges)
}

// quoteRowID is the name of the rowid in SQL. In quotes rowid would be a text where it is no column.
func quoteRowID(t *Table) string {
	if t.Alias >= 0 {
		return sqlite.QuoteName(t.Columns[t.Alias].Stored)
	}
	return t.RowID
}

// byKey reads all rows in the order of the key.
func (d *Diff) byKey(side *Side, t *Table, columns []int) (cursor, error) {
	order := make([]string, len(t.Key))
	for i, k := range t.Key {
		order[i] = sqlite.QuoteName(t.Columns[k.Column].Stored)
		if k.Desc {
			order[i] += " DESC"
		}
	}
	return d.scan(side, t, columns, "", " ORDER BY "+strings.Join(order, ","), nil)
}

// asStored reads all rows as they come, and counts them.
func (d *Diff) asStored(side *Side, t *Table, columns []int) (cursor, error) {
	return d.scan(side, t, columns, "", "", nil)
}

func (d *Diff) scan(side *Side, t *Table, columns []int, id, rest string, ranges []Range) (cursor, error) {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = t.Columns[c].Stored
	}
	list := id + quoted(names)
	if len(names) == 0 {
		list = strings.TrimSuffix(id, ",")
		if list == "" {
			list = "NULL"
		}
	}
	st, err := side.prepare("SELECT " + list + " FROM main." + sqlite.QuoteName(t.From) + rest)
	if err != nil {
		return nil, side.explain(err)
	}
	return &scan{side: side, st: st, ranges: ranges, ranged: id != "", hasID: id != "", convert: side.schema.Encoding != d.encoding,
		encoding: side.schema.Encoding, row: Row{Values: make([]sqlitefile.Value, len(names))}}, nil
}

func (s *scan) close() { s.st.Close() }

func (s *scan) next(ctx context.Context) (*Row, error) {
	for {
		if s.ranged && !s.started {
			if len(s.ranges) == 0 {
				return nil, nil
			}
			if err := s.bind(s.ranges[0]); err != nil {
				return nil, err
			}
			s.ranges, s.started = s.ranges[1:], true
		}
		if s.steps++; s.steps%stepsPerLook == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		more, err := s.st.StepFast()
		if err != nil {
			return nil, s.side.explain(err)
		}
		if more {
			return s.read()
		}
		if !s.ranged {
			return nil, nil
		}
		s.started = false
	}
}

func (s *scan) bind(r Range) error {
	s.st.Reset()
	if err := s.st.BindInt(1, r.From); err != nil {
		return err
	}
	return s.st.BindInt(2, r.To)
}

// largeValue is from where on values are counted: all large ones together are not larger than the image, unless it is damaged.
const largeValue = 4 << 10

func (s *scan) read() (*Row, error) {
	first := 0
	if s.hasID {
		s.row.ID, first = s.st.Int(0), 1
	} else {
		s.row.ID++
	}
	for i := range s.row.Values {
		v := s.st.Value(first+i, s.encoding)
		if s.convert && v.Kind == sqlitefile.Text {
			v.Bytes = []byte(s.st.Text(first + i))
		}
		if len(v.Bytes) >= largeValue {
			s.large += int64(len(v.Bytes))
		}
		s.row.Values[i] = v
	}
	if s.rows++; s.large > s.side.mostLarge() || s.rows > s.side.mostRows() {
		return nil, errOverlong
	}
	return &s.row, nil
}
