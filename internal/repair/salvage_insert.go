package repair

import (
	"errors"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// alreadyThere is why a row is not written: the table has the very same one.
const alreadyThere = "it is there already"

// inserter writes rows into one table.
type inserter struct {
	*salvager
	t       *tree
	rowid   string               // the name by which the rowid is written; "" where it has none
	inserts map[int]*sqlite.Stmt // by the columns of the record
	same    *sqlite.Stmt
	broken  string // why no row can be written
}

func newInserter(w *salvager, t *tree) *inserter {
	in := &inserter{salvager: w, t: t, inserts: map[int]*sqlite.Stmt{}}
	if t.shape == nil {
		in.broken = "the definition of its table is damaged"
		return in
	}
	if in.rowid = rowidName(t.shape); t.shape.alias >= 0 {
		in.rowid = sqlite.QuoteName(t.shape.columns[t.shape.alias].name)
	}
	return in
}

// rowidName returns a name of the rowid that no column has.
func rowidName(s *shape) string {
	if !s.rowids {
		return ""
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(s.columns, func(c column) bool { return sameName(c.name, name) }) {
			return name
		}
	}
	return ""
}

func (in *inserter) close() {
	for _, st := range in.inserts {
		st.Close()
	}
	if in.same != nil {
		in.same.Close()
	}
}

// written returns the positions of a record of n columns that are written by name.
func (in *inserter) written(n int) (at []int) {
	for i, c := range in.t.shape.stored[:n] {
		if c >= 0 && c != in.t.shape.alias && !in.t.shape.columns[c].generated {
			at = append(at, i)
		}
	}
	return at
}

// statement returns the statement that writes a record of n columns. What is not in it gets the
// default that ALTER TABLE gave it.
func (in *inserter) statement(n int) (*sqlite.Stmt, error) {
	if st := in.inserts[n]; st != nil {
		return st, nil
	}
	var names []string
	for _, i := range in.written(n) {
		names = append(names, sqlite.QuoteName(in.t.shape.columns[in.t.shape.stored[i]].name))
	}
	if in.rowid != "" {
		names = append(names, in.rowid)
	}
	sql := "INSERT INTO " + sqlite.QuoteName(in.t.name)
	if len(names) == 0 {
		sql += " DEFAULT VALUES"
	} else {
		sql += "(" + strings.Join(names, ",") + ") VALUES(?" + strings.Repeat(",?", len(names)-1) + ")"
	}
	st, err := in.conn.Prepare(sql)
	if err == nil {
		in.inserts[n] = st
	}
	return st, err
}

// values returns what statement takes for the row. What was cut off is NULL.
func (in *inserter) values(r row, n int) (all []sqlitefile.Value) {
	for _, i := range in.written(n) {
		v := sqlitefile.Value{}
		if i < len(r.values) {
			v = r.values[i]
		}
		all = append(all, v)
	}
	if in.rowid != "" {
		all = append(all, sqlitefile.Value{Kind: sqlitefile.Integer, Int: r.rowid})
	}
	return all
}

// insert writes a row. why is not "" where the table cannot take it.
func (in *inserter) insert(r row) (why string, err error) {
	switch {
	case in.broken != "":
		return in.broken, nil
	case r.bad:
		return "its record is damaged", nil
	case r.columns > len(in.t.shape.stored):
		return "it has more columns than its table", nil
	}
	st, err := in.statement(r.columns)
	if err == nil {
		values := in.values(r, r.columns)
		if err = in.run(st, values...); err == nil {
			return "", nil
		}
		if conflict(err) {
			same, err := in.isThere(r, values)
			if same {
				return alreadyThere, err
			}
		}
	}
	if failure := asRefusal(err); failure != nil {
		return "", failure
	}
	return "its table does not take it: " + reason(err), nil
}

// conflict reports whether another row has the key.
func conflict(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Primary() == constraint
}

// asRefusal returns nil where SQLite refused one row, which says nothing of others.
func asRefusal(err error) error {
	if conflict(err) {
		return nil
	}
	return asDamage(err)
}

func reason(err error) string {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return err.Error()
}

// isThere reports whether the table has the row with these values.
func (in *inserter) isThere(r row, values []sqlitefile.Value) (bool, error) {
	var terms []string
	for _, i := range in.written(r.columns) {
		terms = append(terms, sqlite.QuoteName(in.t.shape.columns[in.t.shape.stored[i]].name)+" IS ?")
	}
	if in.rowid != "" {
		terms = append(terms, in.rowid+"=?")
	}
	if len(terms) == 0 {
		return false, nil
	}
	return in.exists("SELECT 1 FROM "+sqlite.QuoteName(in.t.name)+" WHERE "+strings.Join(terms, " AND "), values)
}

func (in *inserter) exists(sql string, values []sqlitefile.Value) (bool, error) {
	st, err := in.conn.Prepare(sql)
	if err != nil {
		return false, asDamage(err)
	}
	defer st.Close()
	for i, v := range values {
		if err := st.BindValue(i+1, v, in.header.Encoding().Read()); err != nil {
			return false, asDamage(err)
		}
	}
	more, err := st.Step(in.ctx)
	return more, asDamage(err)
}

// has reports whether the table has a row with that rowid.
func (in *inserter) has(rowid int64) (bool, error) {
	if in.same == nil {
		st, err := in.conn.Prepare("SELECT 1 FROM " + sqlite.QuoteName(in.t.name) + " WHERE " + in.rowid + "=?")
		if err != nil {
			return false, err
		}
		in.same = st
	}
	defer in.same.Reset()
	if err := in.same.BindInt(1, rowid); err != nil {
		return false, err
	}
	return in.same.StepFast()
}
