package rowsback

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// keyColumns is what a row is found by: in SQL, and the numbers of the values; -1 is the rowid.
func (r *Rows) keyColumns() (names []string, values []int) {
	if !r.keyed() {
		name := r.match.To.RowID
		if r.match.To.Alias >= 0 {
			name = sqlite.QuoteName(r.match.To.Columns[r.match.To.Alias].Name)
		}
		return []string{name}, []int{-1}
	}
	for _, k := range r.match.Key {
		names, values = append(names, sqlite.QuoteName(r.match.Columns[k])), append(values, k)
	}
	return names, values
}

// condition names a row by parameters that are numbered from first on.
func (r *Rows) condition(equals string, first int) string {
	names, _ := r.keyColumns()
	for i, name := range names {
		names[i] = fmt.Sprintf("%s%s?%d", name, equals, first+i)
	}
	return strings.Join(names, " AND ")
}

// bindKey binds the key of x to parameters from first on.
func (r *Rows) bindKey(st *sqlite.Stmt, first int, x *row) error {
	_, values := r.keyColumns()
	for i, k := range values {
		if err := st.BindValue(first+i, x.part(k), r.match.Encoding); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rows) into() string { return "main." + sqlite.QuoteName(r.name()) }

// lookup reads the row with a key.
func (r *Rows) lookup(equals string) string {
	return "SELECT " + quoted(r.match.Columns) + " FROM " + r.into() + " WHERE " + r.condition(equals, 1)
}

// insert and change are the words that a statement begins with. Conflict clauses of the table, which delete a row that is in
// the way or end the transaction, do not count. Those of its triggers would not either, and so OR ABORT is only
// where the table may have one.
func (r *Rows) insert() string { return "INSERT" + r.orAbort() + " INTO " + r.into() }
func (r *Rows) change() string { return "UPDATE" + r.orAbort() + " " + r.into() }

func (r *Rows) orAbort() string {
	if strings.Contains(strings.ToUpper(r.sql), "CONFLICT") {
		return " OR ABORT"
	}
	return ""
}

// insertion inserts a row, with its rowid as the last parameter.
func (r *Rows) insertion(rowid bool) string {
	list, n := quoted(r.match.Columns), len(r.match.Columns)
	if rowid {
		list, n = list+","+r.match.To.RowID, n+1
	}
	return r.insert() + "(" + list + ") VALUES(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")"
}

// update sets columns of the row with a key, whose parameters come last.
func (r *Rows) update(columns []int) string {
	set := make([]string, len(columns))
	for i, c := range columns {
		set[i] = fmt.Sprintf("%s=?%d", sqlite.QuoteName(r.match.Columns[c]), i+1)
	}
	return r.change() + " SET " + strings.Join(set, ",") + " WHERE " + r.condition("=", len(columns)+1)
}

// deletion removes the row with a key.
func (r *Rows) deletion() string { return "DELETE FROM " + r.into() + " WHERE " + r.condition("=", 1) }

// unique is a UNIQUE index that is not the key's.
type unique struct {
	name    string
	columns []string
	places  []int // of the columns in a row
	find    *sqlite.Stmt
}

// uniqueIndexes are those that a row can be looked up in: over columns that the rows have, without a condition. What the
// others hold against a row shows when it is inserted.
func (r *Rows) uniqueIndexes(ctx context.Context, conn *sqlite.Conn) (all []unique, err error) {
	var names []string
	err = conn.Each(ctx, `SELECT name FROM pragma_index_list(`+sqlite.QuoteText(r.name())+`) WHERE "unique" AND NOT partial AND origin<>'pk'`,
		func(st *sqlite.Stmt) error {
			names = append(names, st.Text(0))
			return nil
		})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		u, whole := unique{name: name}, true
		var where []string
		err := conn.Each(ctx, "SELECT cid, name, coll FROM pragma_index_xinfo("+sqlite.QuoteText(name)+") WHERE key", func(st *sqlite.Stmt) error {
			column := st.Text(1)
			i := slices.Index(r.match.Columns, column)
			if whole = whole && st.Int(0) >= 0 && i >= 0; whole {
				u.columns, u.places = append(u.columns, column), append(u.places, i)
				where = append(where, sqlite.QuoteName(column)+"=? COLLATE "+sqlite.QuoteName(st.Text(2)))
			}
			return nil
		})
		if err != nil {
			return all, err
		}
		if !whole {
			continue
		}
		if u.find, err = conn.Prepare("SELECT 1 FROM " + r.into() + " WHERE " + strings.Join(where, " AND ")); err != nil {
			return all, err
		}
		all = append(all, u)
	}
	return all, nil
}

// taken reports whether a row has the value of x.
func (u unique) taken(x *row, e sqlitefile.Encoding) (bool, error) {
	u.find.Reset()
	defer u.find.Reset()
	for i, place := range u.places {
		if err := u.find.BindValue(i+1, x.values[place], e); err != nil { // NULL equals nothing
			return false, err
		}
	}
	return u.find.StepFast()
}

// event finds what makes a trigger run.
var event = regexp.MustCompile(`(?is)\b(INSERT|DELETE|UPDATE)\b`)

// triggers are those of a table that run when its rows are changed so.
func triggers(s *rowdiff.Schema, n TableRows) (names []string) {
	for _, o := range s.Objects {
		if o.Type != "trigger" || !strings.EqualFold(o.Table, n.Table) {
			continue
		}
		_, sql, _ := strings.Cut(o.SQL, o.Name)
		if map[string]int64{"INSERT": n.Inserted, "UPDATE": n.Replaced, "DELETE": n.Removed}[strings.ToUpper(event.FindString(sql))] > 0 {
			names = append(names, o.Name)
		}
	}
	return names
}

// SQL calls fn with each statement that is to be run, until it returns false.
func (w *Work) SQL(fn func(statement string) bool) {
	for t, o := range w.steps() {
		if !fn(t.statement(o, w.encoding)) {
			return
		}
	}
}

// WriteSQL writes the statements as a script that does what Apply does.
func (w *Work) WriteSQL(out io.Writer) error {
	b := bufio.NewWriterSize(out, 64<<10) // remembers its first error
	if !w.Empty() {
		_, _ = b.WriteString("PRAGMA foreign_keys=ON;\nBEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys=ON;\n")
		w.SQL(func(statement string) bool {
			_, err := b.WriteString(statement + "\n")
			return err == nil
		})
		_, _ = b.WriteString("COMMIT;\n")
	}
	return b.Flush()
}

// statement is an op as SQL, for a database of encoding to.
func (r *Rows) statement(o op, to sqlitefile.Encoding) string {
	literal := func(v sqlitefile.Value) string { return dump.Literal(v, r.match.Encoding, to) }
	if o.inserts() {
		names, values := quoted(r.match.Columns), make([]string, len(o.row.values), len(o.row.values)+1)
		for i, v := range o.row.values {
			values[i] = literal(v)
		}
		if r.rowid() && !o.renumber {
			names, values = names+","+r.match.To.RowID, append(values, fmt.Sprint(o.row.id))
		}
		return r.insert() + "(" + names + ") VALUES(" + strings.Join(values, ",") + ");"
	}
	names, values := r.keyColumns()
	for i, k := range values {
		names[i] += "=" + literal(o.row.part(k))
	}
	where := " WHERE " + strings.Join(names, " AND ") + ";"
	if o.remove {
		return "DELETE FROM " + r.into() + where
	}
	set := make([]string, len(o.changed))
	for i, c := range o.changed {
		set[i] = sqlite.QuoteName(r.match.Columns[c]) + "=" + literal(o.row.values[c])
	}
	return r.change() + " SET " + strings.Join(set, ",") + where
}
