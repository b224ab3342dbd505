package repair

import (
	"fmt"
	"slices"
	"strings"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// lostRows is the table for rows that have no place in another one:
//
//	table_name | reason | root_page | page | row_id | c0 | c1 | …
//
// table_name is NULL where the table is not known. The columns are those of the table, or of the record.
type lostRows struct {
	*salvager
	name    string // "" until there is a row
	n       int64
	columns int
	insert  *sqlite.Stmt
	partial map[int64]int64 // of the table at work: rows that are here, by rowid
}

// lostRow is a row for lostRows.
type lostRow struct {
	row
	t    *tree // nil where it is not known
	root uint32
	why  string

	keyed bool // it has no rowid
}

const (
	maxLostColumns = 1900    // SQLite's own limit is 2000
	maxPartial     = 1 << 20 // rows that are remembered of a table
)

// add writes a row.
func (l *lostRows) add(r lostRow) error {
	values := r.values
	if r.t != nil && r.t.shape != nil && len(values) <= len(r.t.shape.stored) {
		values = r.t.shape.inPlace(r)
	}
	if err := l.ready(len(values)); err != nil {
		return err
	}
	name := sqlitefile.Value{}
	rowid := sqlitefile.Value{Kind: sqlitefile.Integer, Int: r.rowid}
	if r.t != nil {
		name = text(r.t.name)
	}
	if r.keyed || r.t != nil && !r.t.rowids {
		rowid = sqlitefile.Value{}
	}
	// These texts are ours, in UTF-8; the values are in the database's encoding.
	for i, v := range []sqlitefile.Value{name, text(r.why), {Kind: sqlitefile.Integer, Int: int64(r.root)}, {Kind: sqlitefile.Integer, Int: int64(r.page)}, rowid} {
		if err := l.insert.BindValue(i+1, v, sqlitefile.UTF8); err != nil {
			return err
		}
	}
	for i := range l.columns {
		v := sqlitefile.Value{}
		if i < len(values) {
			v = values[i]
		}
		if err := l.insert.BindValue(i+6, v, l.header.Encoding().Read()); err != nil {
			return err
		}
	}
	_, err := l.insert.Step(l.ctx)
	l.insert.Reset()
	if err != nil {
		return err
	}
	l.n++
	if r.t != nil && r.t.rowids && len(l.partial) < maxPartial && l.partial != nil {
		l.partial[r.rowid] = l.n
	}
	return nil
}

func text(s string) sqlitefile.Value {
	return sqlitefile.Value{Kind: sqlitefile.Text, Bytes: []byte(s)}
}

// inPlace returns the values of a record by the columns of the table.
func (s *shape) inPlace(r lostRow) []sqlitefile.Value {
	all := make([]sqlitefile.Value, len(s.columns))
	for i, v := range r.values {
		if c := s.stored[i]; c >= 0 {
			all[c] = v
		}
	}
	if s.alias >= 0 && s.rowids {
		all[s.alias] = sqlitefile.Value{Kind: sqlitefile.Integer, Int: r.rowid}
	}
	return all
}

// ready makes the table, with as many columns as the row needs.
func (l *lostRows) ready(columns int) error {
	columns = min(columns, maxLostColumns)
	if l.name == "" {
		taken := func(name string) bool {
			return slices.ContainsFunc(l.objects, func(o object) bool { return sameName(o.name, name) })
		}
		name := "lost_and_found"
		for i := 1; taken(name); i++ {
			name = fmt.Sprintf("lost_and_found_%d", i)
		}
		if err := l.conn.Exec(l.ctx, "CREATE TABLE "+name+"(table_name TEXT, reason TEXT, root_page INTEGER, page INTEGER, row_id INTEGER)"); err != nil {
			return err
		}
		l.name = name
	}
	if l.insert != nil && columns <= l.columns {
		return nil
	}
	if l.insert != nil {
		l.insert.Close()
		l.insert = nil
	}
	for ; l.columns < columns; l.columns++ {
		if err := l.conn.Exec(l.ctx, fmt.Sprintf("ALTER TABLE %s ADD COLUMN c%d", l.name, l.columns)); err != nil {
			return err
		}
	}
	st, err := l.conn.Prepare("INSERT INTO " + l.name + " VALUES(?" + strings.Repeat(",?", l.columns+4) + ")")
	l.insert = st
	return err
}

func (l *lostRows) close() {
	if l.insert != nil {
		l.insert.Close()
		l.insert = nil
	}
}

// fromIndexes writes what indexes know of rows that the table does not have, and counts them.
func (l *lostRows) fromIndexes(t *tree, in *inserter) (known int64, err error) {
	for _, index := range l.trees[1:] {
		if index.kind != "index" || index.table != t || index.shape == nil || in.broken != "" {
			continue
		}
		if !t.rowids && len(index.shape.stored) == 0 || t.rowids && in.rowid == "" {
			continue
		}
		err := l.pagesOf(l.ctx, index, func(n uint32, page sqlitefile.Page) error {
			_, err := l.rowsOn(page, n, func(r row) error {
				if len(r.values) != len(index.shape.stored) || r.cut {
					return nil
				}
				gone, err := l.entry(in, index, r)
				if gone {
					known++
				}
				return err
			})
			return err
		})
		if err != nil {
			return known, err
		}
	}
	return known, nil
}

// entry writes what an index entry says, where the table does not have its row. gone reports whether
// nothing else was known of that row.
func (l *lostRows) entry(in *inserter, index *tree, r row) (gone bool, err error) {
	found := lostRow{row: r, t: in.t, root: index.root, why: "only an entry of index " + index.name + " is left of it"}
	values := make([]sqlitefile.Value, len(in.t.shape.columns))
	for i, c := range index.shape.stored {
		if c >= 0 {
			values[c] = r.values[i]
		}
	}
	if in.t.rowids {
		if index.shape.stored[len(index.shape.stored)-1] != -1 || r.values[len(r.values)-1].Kind != sqlitefile.Integer {
			return false, nil
		}
		found.rowid = r.values[len(r.values)-1].Int
		if there, err := in.has(found.rowid); there || err != nil {
			return false, err
		}
		if at, known := l.partial[found.rowid]; known {
			return false, l.complete(at, values)
		}
	} else {
		there, err := in.hasKey(values)
		if there || err != nil {
			return false, err
		}
	}
	// As a record of the table would have them.
	found.values = make([]sqlitefile.Value, len(in.t.shape.stored))
	for i, c := range in.t.shape.stored {
		if c >= 0 && c != in.t.shape.alias {
			found.values[i] = values[c]
		}
	}
	return true, l.add(found)
}

// hasKey reports whether a table without rowids has a row with the key that is among the values.
func (in *inserter) hasKey(values []sqlitefile.Value) (bool, error) {
	var terms []string
	var keys []sqlitefile.Value
	for _, c := range in.t.shape.keys {
		terms = append(terms, sqlite.QuoteName(in.t.shape.columns[c].name)+" IS ?")
		keys = append(keys, values[c])
	}
	if len(terms) == 0 {
		return true, nil
	}
	return in.exists("SELECT 1 FROM "+sqlite.QuoteName(in.t.name)+" WHERE "+strings.Join(terms, " AND "), keys)
}

// complete adds the values of another index to what is known of a row.
func (l *lostRows) complete(at int64, values []sqlitefile.Value) error {
	for i, v := range values {
		if v.Kind == sqlitefile.Null || i >= l.columns {
			continue
		}
		st, err := l.conn.Prepare(fmt.Sprintf("UPDATE %s SET c%d=? WHERE rowid=? AND c%[2]d IS NULL", l.name, i))
		if err != nil {
			return err
		}
		err = l.run(st, v, sqlitefile.Value{Kind: sqlitefile.Integer, Int: at})
		st.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// strays writes the rows of trees that no table is known for.
func (l *lostRows) strays() error {
	l.partial = nil
	known := newKnown(l.salvager)
	defer known.close()
	for _, n := range l.salvager.strays {
		err := l.leaves(l.ctx, strayPage, n, func(at uint32, page sqlitefile.Page) error {
			_, err := l.rowsOn(page, at, func(r row) error {
				stray := lostRow{row: r, root: n, why: "its table is not known"}
				if stray.keyed = !page.Type().Table(); stray.keyed {
					stray.why = "it is of an index, or of a table without rowids that is not known"
				}
				if there, err := known.has(r, !stray.keyed); there || err != nil {
					return err
				}
				return l.add(stray)
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// known finds rows that a table has already: a stray page may be a copy of one of its pages.
type known struct{ tables []*inserter }

func newKnown(w *salvager) *known {
	k := &known{}
	for _, t := range w.trees[1:] {
		if t.kind == "table" && t.shape != nil && !strings.HasPrefix(strings.ToLower(t.name), "sqlite_") {
			k.tables = append(k.tables, newInserter(w, t))
		}
	}
	return k
}

func (k *known) close() {
	for _, in := range k.tables {
		in.close()
	}
}

// has reports whether a table has that very row.
func (k *known) has(r row, rowids bool) (bool, error) {
	record, err := sqlitefile.ParseRecord(r.payload)
	if err != nil || r.cut || r.bad {
		return false, nil
	}
	for _, in := range k.tables {
		if in.t.rowids != rowids || !in.t.shape.fits(record) {
			continue
		}
		if rowids && in.rowid != "" {
			if there, err := in.has(r.rowid); !there || err != nil {
				if err != nil {
					return false, err
				}
				continue
			}
		}
		if there, err := in.isThere(r, in.values(r, r.columns)); there || err != nil {
			return there, err
		}
	}
	return false, nil
}
