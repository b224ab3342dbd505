package repair

import (
	"context"
	"errors"
	"slices"
	"strings"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// shape is what the records of a tree look like, by its SQL.
type shape struct {
	columns []column
	stored  []int // the columns of a record, in its order; -1 is the rowid, -2 an expression
	alias   int   // the column that is the rowid's other name; -1 for none
	rowids  bool
	unique  bool // of an index
	keys    []int
}

// column is a column of a table.
type column struct {
	name      string
	affinity  affinity
	generated bool
}

// affinity is what a column makes of the values that are written to it.
type affinity int

const (
	anyAffinity affinity = iota
	textAffinity
	numberAffinity
)

// affinityOf follows https://www.sqlite.org/datatype3.html §3.1.
func affinityOf(declared string) affinity {
	t := strings.ToUpper(declared)
	has := func(part string) bool { return strings.Contains(t, part) }
	switch {
	case has("INT"):
		return numberAffinity
	case has("CHAR"), has("CLOB"), has("TEXT"):
		return textAffinity
	case t == "", t == "ANY", has("BLOB"):
		return anyAffinity
	}
	return numberAffinity
}

// fits reports whether the table can have stored the record. Columns beyond the bytes that are there
// are not judged.
func (s *shape) fits(r sqlitefile.Record) bool {
	if r.Columns() > len(s.stored) || r.Columns() == 0 {
		return false
	}
	for i, c := range s.stored[:r.Columns()] {
		v, err := r.Value(i)
		if err != nil {
			return true
		}
		switch {
		case c == -1 && v.Kind != sqlitefile.Integer:
			return false
		case c < 0:
		case s.rowids && c == s.alias && v.Kind != sqlitefile.Null:
			return false
		case s.columns[c].affinity == textAffinity && (v.Kind == sqlitefile.Integer || v.Kind == sqlitefile.Real):
			return false
		case s.columns[c].affinity == numberAffinity && v.Kind == sqlitefile.Text && isInteger(v.Bytes):
			return false
		}
	}
	return true
}

// usual reports whether columns that are declared for numbers have numbers.
func (s *shape) usual(r sqlitefile.Record) bool {
	for i, c := range s.stored[:min(r.Columns(), len(s.stored))] {
		v, err := r.Value(i)
		if err == nil && c >= 0 && s.columns[c].affinity == numberAffinity && (v.Kind == sqlitefile.Text || v.Kind == sqlitefile.Blob) {
			return false
		}
	}
	return true
}

// isInteger reports whether a text in UTF-8 is one that SQLite would have stored as an integer.
func isInteger(b []byte) bool {
	if len(b) == 0 || len(b) > 18 {
		return false
	}
	return !slices.ContainsFunc(b, func(c byte) bool { return c < '0' || c > '9' })
}

// shaper asks SQLite what records of a schema look like, in a database without rows.
type shaper struct {
	ctx     context.Context
	scratch *durable.ScratchFile
	conn    *sqlite.Conn
}

func newShaper(ctx context.Context, dir string) (_ *shaper, err error) {
	s := &shaper{ctx: ctx}
	if s.scratch, err = durable.Scratch(dir, "salvage"); err != nil {
		return nil, err
	}
	if s.conn, err = sqlite.Open(s.scratch.Name(), sqlite.Options{}); err == nil {
		err = s.conn.Exec(ctx, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA trusted_schema=0; CREATE TABLE x(y); CREATE TABLE z(y)")
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.scratch.Unlink() // it is open
	return s, nil
}

// Close removes the database.
func (s *shaper) Close() error {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	return errors.Join(err, s.scratch.Close())
}

// load makes the objects, two at most, the whole schema. SQLite reads it as that of any database: functions and
// collations that it does not know do not matter.
func (s *shaper) load(objects ...object) error {
	const empty = "PRAGMA writable_schema=1; DELETE FROM sqlite_schema"
	if err := s.conn.Exec(s.ctx, empty); err != nil {
		// The schema before cannot be read. SQLite says so once.
		if err := s.conn.Exec(s.ctx, empty); err != nil {
			return err
		}
	}
	st, err := s.conn.Prepare("INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES(?,?,?,?,?)")
	if err != nil {
		return err
	}
	defer st.Close()
	for i, o := range objects {
		if err := st.BindInt(4, int64(i)+2); err != nil { // a table without rowids and its index may not have the same
			return err
		}
		for column, text := range map[int]string{1: o.kind, 2: o.name, 3: o.table, 5: o.sql} {
			if err := st.BindText(column, text); err != nil {
				return err
			}
		}
		if _, err := st.Step(s.ctx); err != nil {
			return err
		}
		st.Reset()
	}
	return s.conn.Exec(s.ctx, "PRAGMA writable_schema=RESET")
}

// table returns the shape of a table; nil where SQLite cannot read its SQL.
func (s *shaper) table(o object) (*shape, error) {
	if err := s.load(o); err != nil {
		return nil, err
	}
	t := &shape{alias: -1, rowids: true}
	primary := 0
	name := sqlite.QuoteText(o.name)
	err := s.conn.Each(s.ctx, "SELECT cid,name,type,pk,hidden FROM pragma_table_xinfo("+name+")", func(st *sqlite.Stmt) error {
		hidden := st.Int(4)
		t.columns = append(t.columns, column{st.Text(1), affinityOf(st.Text(2)), hidden > 1})
		if hidden != 2 {
			t.stored = append(t.stored, len(t.columns)-1)
		}
		if n := st.Int(3); n > 0 {
			primary, t.alias = primary+1, int(st.Int(0))
		}
		return nil
	})
	if err == nil && len(t.columns) > 0 {
		err = s.primary(t, name, primary)
	}
	if err != nil || len(t.columns) == 0 {
		return nil, asDamage(err)
	}
	return t, nil
}

// primary finds out whether the table is stored by its primary key, and whether that is the rowid.
func (s *shaper) primary(t *shape, name string, columns int) error {
	without, err := s.conn.Int(s.ctx, "SELECT wr FROM pragma_table_list WHERE schema='main' AND name="+name+" COLLATE NOCASE")
	if err != nil {
		return err
	}
	index := ""
	err = s.conn.Each(s.ctx, "SELECT name FROM pragma_index_list("+name+") WHERE origin='pk'", func(st *sqlite.Stmt) error {
		index = st.Text(0)
		return nil
	})
	if columns != 1 || index != "" {
		t.alias = -1
	}
	if err != nil || without == 0 {
		return err
	}
	t.rowids, t.stored = false, nil
	return s.indexed(t, index)
}

// indexed reads the columns of an index.
func (s *shaper) indexed(t *shape, index string) error {
	return s.conn.Each(s.ctx, "SELECT cid,key FROM pragma_index_xinfo("+sqlite.QuoteText(index)+")", func(st *sqlite.Stmt) error {
		t.stored = append(t.stored, int(st.Int(0)))
		if st.Int(1) != 0 {
			t.keys = append(t.keys, int(st.Int(0)))
		}
		return nil
	})
}

// index returns the shape of an index of the table; nil where SQLite cannot read its SQL.
func (s *shaper) index(o, table object, of *shape) (*shape, error) {
	objects := []object{table}
	if o.sql != "" {
		objects = append(objects, o)
	}
	if err := s.load(objects...); err != nil {
		return nil, err
	}
	t := &shape{columns: of.columns, alias: -1}
	err := s.indexed(t, o.name)
	if err == nil && len(t.stored) > 0 {
		var unique int64
		unique, err = s.conn.Int(s.ctx, "SELECT count(*) FROM pragma_index_list("+sqlite.QuoteText(table.name)+") WHERE \"unique\" AND name="+sqlite.QuoteText(o.name))
		t.unique = unique > 0
	}
	if err != nil || len(t.stored) == 0 {
		return nil, asDamage(err)
	}
	return t, nil
}

// asDamage returns nil for an error about the content of a schema, which says nothing about this machine.
func asDamage(err error) error {
	switch sqlite.Classify(err) {
	case sqlite.ClassOther, sqlite.ClassCorrupt, sqlite.ClassTooBig, sqlite.ClassBudget:
		return nil
	}
	return err
}
