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
			err = f.add(ctx, k.parent, condition, values, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// children adds the rows that referred to those that are gone, and are gone, too.
func (f *follower) children(ctx context.Context, k foreignKey, r *Rows, gone []row) error {
	places := r.places(k.to)
	if places == nil {
		return nil
	}
	where := make([]string, len(k.from))
	for i, column := range k.from {
		where[i] = sqlite.QuoteName(column) + "=?"
	}
	if len(gone) > fewLookups && len(places) == 1 {
		if ids := integers(gone, places[0]); ids != nil {
			return f.childrenAtOnce(ctx, k, ids)
		}
	}
	for _, x := range gone {
		values, ok := x.at(places)
		if !ok {
			continue
		}
		if err := f.add(ctx, k.child, strings.Join(where, " AND "), values, nil); err != nil {
			return err
		}
	}
	return nil
}

// fewLookups is up to how many rows' children are looked up one after another: the column may have no index.
const fewLookups = 100

// integers are the values of a column; nil where one is no integer, which could be equal to others.
func integers(rows []row, place int) map[int64]bool {
	ids := map[int64]bool{}
	for _, x := range rows {
		if x.values[place].Kind != sqlitefile.Integer {
			return nil
		}
		ids[x.values[place].Int] = true
	}
	return ids
}

// childrenAtOnce is children by one reading of the table.
func (f *follower) childrenAtOnce(ctx context.Context, k foreignKey, ids map[int64]bool) error {
	return f.add(ctx, k.child, sqlite.QuoteName(k.from[0])+" IS NOT NULL", nil, func(r *Rows) func([]sqlitefile.Value) bool {
		places := r.places(k.from)
		return func(values []sqlitefile.Value) bool {
			return places != nil && values[places[0]].Kind == sqlitefile.Integer && ids[values[places[0]].Int]
		}
	})
}

// add adds the rows of a table of the earlier state for which a condition, and keep where it is not nil, is true, and that
// are gone.
func (f *follower) add(ctx context.Context, table, condition string, values []sqlitefile.Value, keep func(*Rows) func([]sqlitefile.Value) bool) error {
	then, _ := f.d.Schemas()
	if _, ok := then.Table(table); !ok {
		return nil // there was none
	}
	r, listed, err := f.of(ctx, table)
	if err != nil {
		return err
	}
	from := len(r.rows)
	var filter func([]sqlitefile.Value) bool
	if keep != nil {
		filter = keep(r)
	}
	if err := f.scan(ctx, r, condition, values, filter); err != nil {
		return err
	}
	if len(r.rows) > from && !r.keyed() {
		return message.WithHint(fmt.Errorf("%w: rows of %s go with them, and it has no primary key that holds in both states", ErrRefused, r.name()),
			"leave out --with-references, and bring those back by --missing")
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
	if r.rows = kept; !listed && len(kept) > 0 {
		f.Chosen.rows = append(f.Chosen.rows, r)
	}
	return nil
}

// of returns the rows of a table, and whether they are among the chosen ones.
func (f *follower) of(ctx context.Context, table string) (*Rows, bool, error) {
	same := func(r *Rows) bool { return strings.EqualFold(r.name(), table) }
	if i := slices.IndexFunc(f.Chosen.rows, same); i >= 0 {
		return f.Chosen.rows[i], true, nil
	}
	for r := range f.now { // described before, without rows
		if same(r) {
			return r, false, nil
		}
	}
	r, err := f.table(ctx, table)
	if err == nil {
		r.along = true
	}
	return r, false, err
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
