package rowsback

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Left says which rows a Work changed, and as what it left them, triggers' doing included: what its undo needs to reverse that
// and nothing else. What the rows were before is in the state before. It is written as lines of JSON:
//
//	{"encoding":1}                                a head: of the text of keys
//	{"table":"customer","by":"key"}               a table; its rows follow
//	{"key":[{"i":4711}],"left":"mVz…="}           a row, and the digest of what it was left as; none where it was removed
//	{"end":{"rows":1,"digest":"k0h…="}}           the end: how many rows, and the digest of all lines before
type Left struct {
	encoding sqlitefile.Encoding
	tables   []leftTable
}

type leftTable struct {
	name string
	by   rowdiff.ComparedBy // ByKey or ByRowID
	rows []leftRow
}

type leftRow struct {
	key  []sqlitefile.Value // the rowid, by ByRowID
	left *rowdiff.Digest    // nil: it was removed
}

// ErrNoLeft: what was left cannot be read.
var ErrNoLeft = errors.New("the record of the rows that were brought back is damaged")

const (
	maxLeftLine = 16 << 20 // bytes
	maxLeft     = 1 << 30  // bytes
)

// leftLine is a line; each has one of them.
type leftLine struct {
	Encoding sqlitefile.Encoding `json:"encoding,omitempty"`
	Table    string              `json:"table,omitempty"`
	By       rowdiff.ComparedBy  `json:"by,omitempty"`
	Key      []leftValue         `json:"key,omitempty"`
	Left     []byte              `json:"left,omitempty"`
	End      *leftEnd            `json:"end,omitempty"`
}

type leftEnd struct {
	Rows   int    `json:"rows"`
	Digest []byte `json:"digest"`
}

// leftValue is a value of a key, exactly.
type leftValue struct {
	Int  *int64  `json:"i,omitempty"`
	Real *uint64 `json:"r,omitempty"` // its bits
	Text *[]byte `json:"t,omitempty"`
	Blob *[]byte `json:"b,omitempty"`
}

func leftValueOf(v sqlitefile.Value) leftValue {
	b := append([]byte{}, v.Bytes...)
	switch v.Kind {
	case sqlitefile.Integer:
		return leftValue{Int: &v.Int}
	case sqlitefile.Real:
		bits := math.Float64bits(v.Float)
		return leftValue{Real: &bits}
	case sqlitefile.Text:
		return leftValue{Text: &b}
	}
	return leftValue{Blob: &b}
}

func (v leftValue) value() (sqlitefile.Value, bool) {
	switch {
	case v.Int != nil:
		return sqlitefile.Value{Kind: sqlitefile.Integer, Int: *v.Int}, true
	case v.Real != nil:
		return sqlitefile.Value{Kind: sqlitefile.Real, Float: math.Float64frombits(*v.Real)}, true
	case v.Text != nil:
		return sqlitefile.Value{Kind: sqlitefile.Text, Bytes: *v.Text}, true
	case v.Blob != nil:
		return sqlitefile.Value{Kind: sqlitefile.Blob, Bytes: *v.Blob}, true
	}
	return sqlitefile.Value{}, false
}

// WriteTo writes it as ReadLeft reads it.
func (l *Left) WriteTo(out io.Writer) (int64, error) {
	w := &leftWriter{out: bufio.NewWriterSize(out, 64<<10), digest: sha256.New()}
	w.line(leftLine{Encoding: l.encoding})
	rows := 0
	for _, t := range l.tables {
		w.line(leftLine{Table: t.name, By: t.by})
		for _, r := range t.rows {
			line := leftLine{}
			for _, v := range r.key {
				line.Key = append(line.Key, leftValueOf(v))
			}
			if r.left != nil {
				line.Left = r.left[:]
			}
			w.line(line)
			rows++
		}
	}
	w.line(leftLine{End: &leftEnd{rows, w.digest.Sum(nil)}})
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.bytes, w.err
}

type leftWriter struct {
	out    *bufio.Writer
	digest hash.Hash
	bytes  int64
	err    error
}

func (w *leftWriter) line(l leftLine) {
	if w.err != nil {
		return
	}
	b, err := json.Marshal(l)
	b = append(b, '\n')
	switch w.bytes += int64(len(b)); {
	case err != nil:
		w.err = err
	case len(b) > maxLeftLine || w.bytes > maxLeft:
		w.err = fmt.Errorf("%w: the rows are too many, or their keys too long, to be brought back with an undo", ErrRefused)
	default:
		_, _ = w.digest.Write(b)
		_, w.err = w.out.Write(b)
	}
}

// ReadLeft reads what WriteTo wrote. Errors: ErrNoLeft, r's.
func ReadLeft(r io.Reader) (*Left, error) {
	s := bufio.NewScanner(io.LimitReader(r, maxLeft))
	s.Buffer(nil, maxLeftLine)
	l, digest, rows := &Left{}, sha256.New(), 0
	damaged := func(what string) (*Left, error) { return nil, fmt.Errorf("%w: %s", ErrNoLeft, what) }
	for n := 1; s.Scan(); n++ {
		line := leftLine{}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			return damaged(fmt.Sprintf("line %d cannot be read", n))
		}
		if e := line.End; e != nil {
			if e.Rows != rows || !bytes.Equal(e.Digest, digest.Sum(nil)) {
				return damaged("its digest is another one")
			}
			return l, nil
		}
		_, _ = digest.Write(s.Bytes())
		_, _ = digest.Write([]byte{'\n'})
		switch {
		case line.Encoding != 0:
			l.encoding = line.Encoding
		case line.Table != "":
			l.tables = append(l.tables, leftTable{name: line.Table, by: line.By})
		default:
			x, ok := line.row()
			if !ok || len(l.tables) == 0 {
				return damaged(fmt.Sprintf("line %d is no row", n))
			}
			t := &l.tables[len(l.tables)-1]
			t.rows = append(t.rows, x)
			rows++
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return damaged("a line is too long")
	case err != nil:
		return nil, err
	}
	return damaged("it has no end")
}

func (l leftLine) row() (x leftRow, ok bool) {
	for _, v := range l.Key {
		value, ok := v.value()
		if !ok {
			return x, false
		}
		x.key = append(x.key, value)
	}
	if len(l.Left) > 0 {
		x.left = new(rowdiff.Digest)
		if copy(x.left[:], l.Left) != len(x.left) || len(l.Left) != len(x.left) {
			return x, false
		}
	}
	return x, len(x.key) > 0
}

// Left reads back what Apply left, on its connection and in its transaction.
func (w *Work) Left(conn *sqlite.Conn) (*Left, error) {
	l := &Left{encoding: w.encoding}
	for _, t := range w.tables {
		keyed, others := []*row{}, []*row{} // others have NULL in their keys: their rowids name them
		for _, o := range t.ops {
			if t.keyed() && !t.nullKey(o.row) {
				keyed = append(keyed, o.row)
			} else {
				others = append(others, o.row)
			}
		}
		for _, part := range []struct {
			rows []*row
			of   *Rows
		}{{keyed, t.Rows}, {others, t.byRowID()}} {
			if len(part.rows) == 0 {
				continue
			}
			if names, _ := part.of.keyColumns(); names[0] == "" {
				return nil, fmt.Errorf("%w: rows of %s have NULL in their key, and its columns take all names of the rowid: an undo could not name them", ErrRefused, t.name())
			}
			table, err := part.of.left(conn, part.rows, w.encoding)
			if err != nil {
				return nil, fmt.Errorf("read back rows of %s: %w", t.name(), err)
			}
			l.tables = append(l.tables, table)
		}
	}
	return l, nil
}

// left reads rows of the database, whose encoding is stored.
func (r *Rows) left(conn *sqlite.Conn, rows []*row, stored sqlitefile.Encoding) (t leftTable, err error) {
	t = leftTable{name: r.name(), by: r.match.By}
	all := make([]string, len(r.match.To.Columns))
	for i, c := range r.match.To.Columns {
		all[i] = c.Name
	}
	st, err := conn.Prepare("SELECT " + quoted(all) + " FROM " + r.into() + " WHERE " + r.condition("=", 1))
	if err != nil {
		return t, err
	}
	defer st.Close()
	_, key := r.keyColumns()
	values := make([]sqlitefile.Value, len(all))
	for _, x := range rows {
		st.Reset()
		if err := r.bindKey(st, 1, x); err != nil {
			return t, err
		}
		there, err := st.StepFast()
		if err != nil {
			return t, err
		}
		l := leftRow{}
		for _, k := range key {
			l.key = append(l.key, x.part(k))
		}
		if there {
			readValues(st, values, stored, stored)
			l.left = rowdiff.DigestOf(values)
		}
		t.rows = append(t.rows, l)
	}
	return t, nil
}
