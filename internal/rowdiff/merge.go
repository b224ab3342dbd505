package rowdiff

import (
	"bytes"
	"context"

	"example.com/snapd/internal/sqlitefile"
)

// merge calls fn with the rows in which two cursors of one order differ: before is nil for a row that only b has, after
// for one that only a has. They are good until fn returns.
func merge(ctx context.Context, a, b cursor, compare func(a, b *Row) int, fn func(before, after *Row) error) error {
	x, err := a.next(ctx)
	if err != nil {
		return err
	}
	y, err := b.next(ctx)
	for err == nil && (x != nil || y != nil) {
		order := 0
		switch {
		case x == nil:
			order = 1
		case y == nil:
			order = -1
		default:
			order = compare(x, y)
		}
		switch {
		case order < 0:
			err = fn(x, nil)
		case order > 0:
			err = fn(nil, y)
		case !identicalRows(x, y):
			err = fn(x, y)
		}
		if err == nil && order <= 0 {
			x, err = a.next(ctx)
		}
		if err == nil && order >= 0 {
			y, err = b.next(ctx)
		}
	}
	return err
}

// compareIDs is the order of rowids.
func compareIDs(a, b *Row) int {
	switch {
	case a.ID < b.ID:
		return -1
	case a.ID > b.ID:
		return 1
	}
	return 0
}

// keyOrder is the order in which SQLite has keys. NULL equals nothing: of two rows with the same NULL in their keys the
// first is a's, unless all of them is identical.
type keyOrder []keyPart

type keyPart struct {
	value     int // its number among the values
	collation string
	desc      bool
}

func (k keyOrder) compare(a, b *Row) int {
	null := false
	for i, part := range k {
		x, y := a.key(i, part), b.key(i, part)
		null = null || x.Kind == sqlitefile.Null
		if order := compareValues(x, y, part.collation); order != 0 {
			if part.desc {
				return -order
			}
			return order
		}
	}
	if null && !identicalRows(a, b) {
		return -1
	}
	return 0
}

// key is part i of the row's key.
func (r *Row) key(i int, part keyPart) sqlitefile.Value {
	if r.keys != nil {
		return r.keys[i]
	}
	return r.Values[part.value]
}

// known reports whether the collation is one that compareValues has.
func known(collation string) bool {
	return collation == "BINARY" || collation == "NOCASE" || collation == "RTRIM"
}

// compareValues follows https://www.sqlite.org/datatype3.html §4.1: NULL, numbers, text, blobs. Text of one
// encoding is compared byte by byte but for the collation.
func compareValues(a, b sqlitefile.Value, collation string) int {
	if x, y := class(a.Kind), class(b.Kind); x != y {
		return x - y
	}
	switch class(a.Kind) {
	case 1:
		return compareNumbers(a, b)
	case 2:
		switch collation {
		case "NOCASE":
			return compareNoCase(a.Bytes, b.Bytes)
		case "RTRIM":
			return bytes.Compare(bytes.TrimRight(a.Bytes, " "), bytes.TrimRight(b.Bytes, " "))
		}
		return bytes.Compare(a.Bytes, b.Bytes)
	case 3:
		return bytes.Compare(a.Bytes, b.Bytes)
	}
	return 0
}

func class(k sqlitefile.Kind) int {
	switch k {
	case sqlitefile.Null:
		return 0
	case sqlitefile.Integer, sqlitefile.Real:
		return 1
	case sqlitefile.Text:
		return 2
	}
	return 3
}

// compareNoCase folds ASCII letters only, and goes by the lengths alone after a zero byte.
func compareNoCase(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return int(x) - int(y)
		}
		if a[i] == 0 {
			break // as SQLite's
		}
	}
	return len(a) - len(b)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func compareNumbers(a, b sqlitefile.Value) int {
	switch {
	case a.Kind == sqlitefile.Integer && b.Kind == sqlitefile.Integer:
		return three(a.Int < b.Int, a.Int > b.Int)
	case a.Kind == sqlitefile.Real && b.Kind == sqlitefile.Real:
		return three(a.Float < b.Float, a.Float > b.Float)
	case a.Kind == sqlitefile.Integer:
		return compareIntReal(a.Int, b.Float)
	}
	return -compareIntReal(b.Int, a.Float)
}

// compareIntReal compares exactly: not every integer is a double.
func compareIntReal(i int64, r float64) int {
	const limit = 1 << 63
	switch {
	case r >= limit:
		return -1
	case r < -limit:
		return 1
	}
	whole := int64(r)
	if i != whole {
		return three(i < whole, true)
	}
	return three(float64(whole) < r, float64(whole) > r)
}

func three(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}
