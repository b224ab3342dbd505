package rowsback

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// foreignKey is a foreign key of the database as it is now.
type foreignKey struct {
	child, parent string
	from, to      []string // columns of either
}

// follower brings along the rows that foreign keys tie to the chosen ones, and so on from those, until there are no more:
//
//	parents   of each row: the rows that it refers to, where they are gone
//	children  of each row that is gone: the rows that referred to it, where they are gone, too
//
// Each row is taken once, so that circles end.
type follower struct {
	*chooser
	live *sqlite.Conn
	keys []foreignKey
	seen map[*Rows]map[string]bool // the keys of the rows that were taken
	done map[*Rows]int             // how many rows were followed
	now  map[*Rows]*comparison
}

func (c *chooser) follow(ctx context.Context, live *rowdiff.Side) error {
	f := &follower{chooser: c, live: live.Conn, seen: map[*Rows]map[string]bool{}, done: map[*Rows]int{}, now: map[*Rows]*comparison{}}
	defer func() {
		for _, n := range f.now {
			n.find.Close()
		}
	}()
	if !c.rows[0].keyed() {
		return fmt.Errorf("%w: table %s has no primary key: what hangs on its rows cannot be said", ErrOptions, c.rows[0].name())
	}
	_, now := c.d.Schemas()
	var err error
	if f.keys, err = readKeys(ctx, live.Conn, now); err != nil {
		return err
	}
	for more := true; more; {
		more = false
		for i := 0; i < len(c.rows); i++ { // it grows
			r := c.rows[i]
			from := f.done[r]
			f.done[r] = len(r.rows)
			if from == len(r.rows) {
				continue
			}
			more = true
			if err := f.rows(ctx, r, from, len(r.rows)); err != nil {
				return err
			}
		}
	}
	return nil
}

// readKeys reads the foreign keys of all tables.
func readKeys(ctx context.Context, conn *sqlite.Conn, schema *rowdiff.Schema) (keys []foreignKey, err error) {
	for _, o := range schema.Objects {
		if o.Type != "table" || o.Root == 0 || strings.Contains(o.Name, "\x00") {
			continue
		}
		last := int64(-1)
		const query = `SELECT k.id, k."table", k."from", coalesce(k."to", (SELECT name FROM pragma_table_info(k."table") WHERE pk=k.seq+1)) FROM pragma_foreign_key_list(`
		err := conn.Each(ctx, query+sqlite.QuoteText(o.Name)+") AS k ORDER BY k.id, k.seq", func(st *sqlite.Stmt) error {
			if st.Int(0) != last {
				keys = append(keys, foreignKey{child: o.Name, parent: st.Text(1)})
			}
			last = st.Int(0)
			k := &keys[len(keys)-1]
			k.from, k.to = append(k.from, st.Text(2)), append(k.to, st.Text(3))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("foreign keys of %s: %w", o.Name, explainNow(err))
		}
	}
	return keys, nil
}

// rows follows the rows of r from one number to before another.
func (f *follower) rows(ctx context.Context, r *Rows, from, to int) error {
	var gone []row
	for _, x := range r.rows[from:to] {
		there, err := f.there(r, &x)
		if err != nil {
			return err
		}
		if !there {
			gone = append(gone, x)
		}
		f.taken(r, x)
	}
	for _, k := range f.keys {
		if strings.EqualFold(k.child, r.name()) {
			if err := f.parents(ctx, k, r, r.rows[from:to:to]); err != nil {
				return err
			}
		}
		if strings.EqualFold(k.parent, r.name()) && len(gone) > 0 {
			if err := f.children(ctx, k, r, gone); err != nil {
				return err
			}
		}
	}
	return nil
}

// there reports whether the database has a row with the key of x.
func (f *follower) there(r *Rows, x *row) (bool, error) {
	n := f.now[r]
	if n == nil {
		find, err := f.live.Prepare(r.lookup("="))
		if err != nil {
			return false, explainNow(err)
		}
		n = &comparison{Work: &Work{Chosen: f.Chosen}, t: &tableWork{Rows: r}, conn: f.live, find: find, now: make([]sqlitefile.Value, len(r.match.Columns))}
		f.now[r] = n
	}
	there, _, err := n.lookup(x)
	return there, err
}

// taken remembers a row, and reports whether it was remembered before.
func (f *follower) taken(r *Rows, x row) bool {
	if f.seen[r] == nil {
		f.seen[r] = map[string]bool{}
	}
	key := r.key(x)
	before := f.seen[r][key]
	f.seen[r][key] = true
	return before
}

// parents adds the rows that rows refer to, where the database has none with those values.
func (f *follower) parents(ctx context.Context, k foreignKey, r *Rows, rows []row) error {
	places := r.places(k.from)
	if places == nil {
		return nil // the column is another one now
	}
	where := make([]string, len(k.to))
	for i, column := range k.to {
		where[i] = sqlite.QuoteName(column) + "=?"
	}
	condition := strings.Join(where, " AND ")
	find, err := f.live.Prepare("SELECT 1 FROM main." + sqlite.QuoteName(k.parent) + " WHERE " + condition)
	if err != nil {
		return fmt.Errorf("foreign key of %s to %s: %w", k.child, k.parent, explainNow(err))
	}
	defer find.Close()
	for _, x := range rows {
		values, ok := x.at(places)
		if !ok {
			continue
		}
		find.Reset()
		for i, v := range values {
			if err := find.BindValue(i+1, v, r.match.Encoding); err != nil {
				return err
			}
		}
		there, err := find.StepFast()
		find.Reset()
		if err == nil && !there {
			err = f.parent(ctx, k.parent, condition, values)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parent adds the row that a condition finds in a table of the earlier state, if there was one.
func (f *follower) parent(ctx context.Context, table, condition string, values []sqlitefile.Value) error {
	then, _ := f.d.Schemas()
	if _, ok := then.Table(table); !ok {
		return nil
	}
	r, err := f.of(ctx, table)
	if err != nil {
		return err
	}
	return f.add(ctx, r, condition, values, nil)
}

// children adds the rows that referred to those that are gone, and are gone, too. Which those are goes, as in SQLite, by the collation and the
// affinity of the columns that are referred to, so these are on the left.
func (f *follower) children(ctx context.Context, k foreignKey, r *Rows, gone []row) error {
	places := r.places(k.to)
	then, _ := f.d.Schemas()
	if _, ok := then.Table(k.child); places == nil || !ok {
		return nil // there was none
	}
	child, err := f.of(ctx, k.child)
	if err != nil || child.places(k.from) == nil {
		return err
	}
	if len(gone) > fewLookups && len(places) == 1 {
		parent := "parent"
		if strings.EqualFold(child.name(), parent) {
			parent += "_"
		}
		column := parent + "." + sqlite.QuoteName(k.to[0])
		keys := map[string]bool{}
		for _, x := range gone {
			keys[keyOf(x.values[places[0]])] = true
		}
		return f.add(ctx, child, sqlite.QuoteName(k.from[0])+" IS NOT NULL", nil, &filter{
			of: "(SELECT " + column + " FROM main." + sqlite.QuoteName(r.match.From.Name) + " AS " + parent +
				" WHERE " + column + "=" + sqlite.QuoteName(child.match.From.Name) + "." + sqlite.QuoteName(k.from[0]) + ")",
			keep: func(v sqlitefile.Value) bool { return v.Kind != sqlitefile.Null && keys[keyOf(v)] },
		})
	}
	var where []string
	for i, to := range k.to {
		to = "p." + sqlite.QuoteName(to)
		where = append(where, to+"=?", to+"=c."+sqlite.QuoteName(k.from[i]))
	}
	t := child.match.From
	columns := []string{t.RowID}
	if t.RowID == "" {
		columns = nil
		for _, key := range t.Key {
			columns = append(columns, t.Columns[key.Column].Name)
		}
	}
	if len(columns) == 0 {
		return unnamed(child)
	}
	of := make([]string, len(columns))
	for i, column := range columns {
		of[i] = "c." + sqlite.QuoteName(column)
	}
	condition := fmt.Sprintf("(%s) IN (SELECT %s FROM main.%s AS p, main.%s AS c WHERE %s)", quoted(columns), strings.Join(of, ","),
		sqlite.QuoteName(r.match.From.Name), sqlite.QuoteName(t.Name), strings.Join(where, " AND "))
	for _, x := range gone {
		values, ok := x.at(places)
		if !ok {
			continue
		}
		if err := f.add(ctx, child, condition, values, nil); err != nil {
			return err
		}
	}
	return nil
}

// fewLookups is up to how many rows' children are looked up one after another: the column may have no index.
const fewLookups = 100

// keyOf is a value as the key of a map.
func keyOf(v sqlitefile.Value) string {
	return fmt.Sprint(v.Kind, v.Int, v.Float, " ") + string(v.Bytes)
}

// add adds those rows of the earlier state that a condition and a filter choose, and that are gone.
func (f *follower) add(ctx context.Context, r *Rows, condition string, values []sqlitefile.Value, also *filter) error {
	from := len(r.rows)
	if err := f.scan(ctx, r, condition, values, also); err != nil {
		return err
	}
	if len(r.rows) > from && !r.keyed() {
		return unnamed(r)
	}
	kept := r.rows[:from]
	for _, x := range r.rows[from:] {
		there, err := f.there(r, &x)
		if err != nil {
			return err
		}
		if !there && !f.taken(r, x) {
			kept = append(kept, x)
		}
	}
	clear(r.rows[len(kept):])
	if r.rows = kept; len(kept) > 0 && !slices.Contains(f.Chosen.rows, r) {
		f.Chosen.rows = append(f.Chosen.rows, r)
	}
	return nil
}

// unnamed is the error for a table whose rows cannot be named.
func unnamed(r *Rows) error {
	return message.WithHint(fmt.Errorf("%w: rows of %s go with them, and it has no primary key that holds in both states", ErrRefused, r.name()),
		"leave out --with-references, and bring those back by --missing")
}

// of returns the rows of a table.
func (f *follower) of(ctx context.Context, table string) (*Rows, error) {
	same := func(r *Rows) bool { return strings.EqualFold(r.name(), table) }
	if i := slices.IndexFunc(f.Chosen.rows, same); i >= 0 {
		return f.Chosen.rows[i], nil
	}
	for r := range f.now { // described before, without rows
		if same(r) {
			return r, nil
		}
	}
	r, err := f.table(ctx, table)
	if err == nil {
		r.along = true
	}
	return r, err
}

// places are the numbers of columns; nil where the rows do not have all of them.
func (r *Rows) places(columns []string) []int {
	places := make([]int, len(columns))
	for i, name := range columns {
		if places[i] = slices.IndexFunc(r.match.Columns, func(c string) bool { return strings.EqualFold(c, name) }); places[i] < 0 {
			return nil
		}
	}
	return places
}

// at returns values of the row; ok is false where one of them is NULL, which refers to nothing.
func (x *row) at(places []int) (values []sqlitefile.Value, ok bool) {
	for _, i := range places {
		if x.values[i].Kind == sqlitefile.Null {
			return nil, false
		}
		values = append(values, x.values[i])
	}
	return values, true
}
