package rowsback

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Undo chooses the rows that an earlier Work left, to make them again what they were in the first state of d, which is the one
// before that Work and which before reads. What decides is the row as it was, as it was left, and as it is now:
//
//	now as it was                  nothing to do
//	now as it was left             it goes, comes back, or gets its values back
//	another one now, or gone       a conflict: it was changed since
//
// Triggers run for that as for any change; what they did to other rows, then and now, stays. Errors: ErrRefused, ErrNoLeft, those of
// rowdiff.
func Undo(ctx context.Context, d *rowdiff.Diff, before *rowdiff.Side, left *Left, o Options) (*Chosen, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	then, now := d.Schemas()
	c := &chooser{Chosen: &Chosen{Options: o, encoding: now.Encoding}, d: d, from: before}
	if len(left.tables) == 0 || left.encoding != then.Encoding {
		return nil, fmt.Errorf("%w: it is not of that state", ErrNoLeft)
	}
	for _, t := range left.tables {
		if err := c.undoTable(ctx, t); err != nil {
			return nil, err
		}
	}
	c.Table = c.rows[0].name()
	return c.Chosen, nil
}

// undoTable chooses the rows of one table.
func (c *chooser) undoTable(ctx context.Context, t leftTable) error {
	m, err := c.d.Planned(t.name)
	r, err := c.described(t.name, m, err)
	if err != nil {
		return err
	}
	switch {
	case len(r.gone) > 0:
		return fmt.Errorf("%w: the table %s has no %s any more", ErrRefused, t.name, strings.Join(r.gone, ", "))
	case t.by == rowdiff.ByRowID && m.To.RowID != "":
		r = r.byRowID()
	case t.by != rowdiff.ByKey || !r.keyed():
		return fmt.Errorf("%w: the rows of %s have another key now", ErrRefused, t.name)
	}
	c.rows = append(c.rows, r)
	find, err := c.from.Conn.Prepare(r.lookup("="))
	if err != nil {
		return c.explainRead(err)
	}
	defer find.Close()
	for i, x := range t.rows {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.undoRow(r, find, x); err != nil {
			return err
		}
	}
	return nil
}

// undoRow adds what a row was; find looks that up.
func (c *chooser) undoRow(r *Rows, find *sqlite.Stmt, x leftRow) error {
	then, _ := c.d.Schemas()
	was := row{values: make([]sqlitefile.Value, len(r.match.Columns))}
	_, key := r.keyColumns()
	if len(key) != len(x.key) {
		return fmt.Errorf("%w: a key of %d columns in %s", ErrNoLeft, len(x.key), r.name())
	}
	for i, k := range key {
		if k < 0 {
			was.id = x.key[i].Int
		} else {
			was.values[k] = x.key[i]
		}
	}
	find.Reset()
	if err := r.bindKey(find, 1, &was); err != nil {
		return err
	}
	there, err := find.StepFast()
	if err != nil {
		return c.explainRead(err)
	}
	if there {
		readValues(find, was.values, then.Encoding, r.match.Encoding)
	}
	r.back = append(r.back, former{there, x.left})
	return c.add(r, was.id, was.values)
}

// back compares one row of an undo.
func (c *comparison) back(x *row, was former) error {
	there, same, err := c.lookup(x)
	switch {
	case err != nil:
		return err
	case there == was.there && (same || !there):
		c.plan.Unchanged++
		return nil
	}
	since := there != (was.left != nil) || there && c.digest() != *was.left
	c.bound.row(c.t.Rows, x, fmt.Sprint("undo ", was.there, there, since))
	if there {
		c.bound.other(rowdiff.DigestOf(c.now))
	}
	if there && !was.there {
		c.t.leaving = append(c.t.leaving, &row{id: x.id, values: slices.Clone(c.now)}) // lookup does not use the bytes again
	}
	if since {
		what := " has changed since"
		if !there {
			what = " is gone since"
		}
		if !c.mayReplace(Conflict{Row: c.t.named(*x), What: c.t.named(*x) + what}, c.t) {
			return nil
		}
	}
	o := op{row: x}
	switch {
	case !was.there:
		o = op{row: &row{id: x.id, values: slices.Clone(c.now)}, remove: true} // lookup does not use the bytes again
	case there:
		o.changed = c.changed(x)
	}
	c.show(o) // whether another row has its value of a UNIQUE index shows when all are changed: that one may be, too
	c.t.ops = append(c.t.ops, o)
	return nil
}

// digest is that of the row that is there now, in the columns that the table had then.
func (c *comparison) digest() rowdiff.Digest {
	values := make([]sqlitefile.Value, len(c.now))
	for i, place := range c.t.match.FromPlaces {
		values[place] = c.now[i]
	}
	return *rowdiff.DigestOf(values)
}

// there reports whether the database has a row with the key of x.
func (r *Rows) there(conn *sqlite.Conn, x *row) (bool, error) {
	st, err := conn.Prepare("SELECT 1 FROM " + r.into() + " WHERE " + r.condition("=", 1))
	if err != nil {
		return false, err
	}
	defer st.Close()
	if err := r.bindKey(st, 1, x); err != nil {
		return false, err
	}
	return st.StepFast()
}

// keepReferred makes conflicts of rows that are to be removed, and that others than those of the undo refer to: ON DELETE CASCADE
// would take along what came since. One that is left out may be referring itself, and so on.
func (w *Work) keepReferred(ctx context.Context, conn *sqlite.Conn, schema *rowdiff.Schema) (err error) {
	keys, err := readKeys(ctx, conn, schema)
	if err != nil {
		return err
	}
	var all []*referring
	defer func() {
		for _, r := range all {
			r.find.Close()
		}
	}()
	for _, t := range w.tables {
		for _, k := range keys {
			r, err := w.referring(conn, k, t)
			if err == nil && r != nil {
				all = append(all, r)
				err = r.findSince(ctx)
			}
			if err != nil {
				return fmt.Errorf("foreign key of %s to %s: %w", k.child, k.parent, explainNow(err))
			}
		}
	}
	for again := true; again; {
		again = false
		for _, r := range all {
			kept, err := r.keep(ctx)
			if err != nil {
				return fmt.Errorf("foreign key of %s to %s: %w", r.key.child, r.key.parent, explainNow(err))
			}
			again = again || kept
		}
	}
	return nil
}

// referring finds rows that refer to those of a table.
type referring struct {
	*Work
	t      *tableWork
	key    foreignKey
	places []int // of the columns that are referred to
	find   *sqlite.Stmt
	names  []childName
	since  map[string]bool // keys of rows that others than those of the undo refer to
}

// childName is how an undo names rows of the referring table.
type childName struct {
	t       *tableWork
	first   int             // its first column in find
	all     map[string]bool // those of the undo
	changed map[string]bool // those that it changes
}

// referring prepares the search; nil where nothing is to be searched for.
func (w *Work) referring(conn *sqlite.Conn, k foreignKey, t *tableWork) (*referring, error) {
	r := &referring{Work: w, t: t, key: k, places: t.places(k.to), since: map[string]bool{}}
	if !strings.EqualFold(k.parent, t.name()) || r.places == nil || len(t.leaving) == 0 {
		return nil, nil
	}
	columns := []string{"1"}
	for _, c := range w.tables {
		if !strings.EqualFold(c.name(), k.child) {
			continue
		}
		name := childName{t: c, first: len(columns), all: map[string]bool{}}
		for i := range c.rows {
			name.all[c.key(c.rows[i])] = true
		}
		names, _ := c.keyColumns()
		for _, column := range names {
			columns = append(columns, "c."+column)
		}
		r.names = append(r.names, name)
	}
	var where []string
	for i, to := range k.to { // with collation and affinity of the column on the left, as the foreign key has it
		to = "p." + sqlite.QuoteName(to)
		where = append(where, to+"=?", to+"=c."+sqlite.QuoteName(k.from[i]))
	}
	var err error
	r.find, err = conn.Prepare("SELECT " + strings.Join(columns, ",") + " FROM " + t.into() + " AS p, main." + sqlite.QuoteName(k.child) + " AS c WHERE " + strings.Join(where, " AND "))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// findSince finds the rows that others than those of the undo refer to, whatever the policy.
func (r *referring) findSince(ctx context.Context) error {
	for _, x := range r.t.leaving {
		found, err := r.referred(ctx, x, func(n childName) map[string]bool { return n.all })
		if err != nil {
			return err
		}
		if found {
			r.since[r.t.key(*x)] = true
			r.bound.row(r.t.Rows, x, "referred to by "+r.key.child)
		}
	}
	return nil
}

// keep takes the rows that are referred to out of the ops, unless the policy is to remove them all the same.
func (r *referring) keep(ctx context.Context) (kept bool, err error) {
	left := false // rows of the undo stay, and may refer to others
	for i := range r.names {
		n := &r.names[i]
		n.changed = map[string]bool{}
		for _, o := range n.t.ops {
			n.changed[n.t.key(*o.row)] = true
		}
		left = left || len(n.changed) < len(n.all)
	}
	ops := r.t.ops[:0:0]
	for _, o := range r.t.ops {
		found := false
		if o.remove && !o.forced {
			if found = r.since[r.t.key(*o.row)]; !found && left {
				found, err = r.referred(ctx, o.row, func(n childName) map[string]bool { return n.changed })
			}
			if err != nil {
				return false, err
			}
		}
		if found {
			named := r.t.named(*o.row)
			o.forced = r.mayReplace(Conflict{Row: named, What: fmt.Sprintf("%s: rows of %s refer to it since", named, r.key.child)}, r.t)
			if kept = kept || !o.forced; !o.forced {
				continue
			}
		}
		ops = append(ops, o)
	}
	r.t.ops = ops
	return kept, nil
}

// referred reports whether a row that is not among some of the undo refers to x.
func (r *referring) referred(ctx context.Context, x *row, of func(childName) map[string]bool) (bool, error) {
	values, ok := x.at(r.places)
	if !ok {
		return false, nil
	}
	r.find.Reset()
	defer r.find.Reset()
	for i, v := range values {
		if err := r.find.BindValue(i+1, v, r.t.match.Encoding); err != nil {
			return false, err
		}
	}
	for {
		more, err := r.find.Step(ctx)
		if err != nil || !more {
			return false, err
		}
		if !slices.ContainsFunc(r.names, func(n childName) bool { return of(n)[n.read(r.find, r.encoding)] }) {
			return true, nil
		}
	}
}

// read is the key of the row that st is at, in a database of encoding e.
func (n childName) read(st *sqlite.Stmt, e sqlitefile.Encoding) string {
	x := row{values: make([]sqlitefile.Value, len(n.t.match.Columns))}
	_, key := n.t.keyColumns()
	for i, k := range key {
		if k < 0 {
			x.id = st.Int(n.first + i)
		} else {
			x.values[k] = st.Value(n.first+i, e)
		}
	}
	return n.t.key(x)
}
