package rowsback

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Work is what is to be done to the database, as a comparison with one state of it says.
type Work struct {
	*Chosen
	tables  []*tableWork
	plan    Plan
	bound   *binder
	halfway bool  // a trigger may end a statement in the middle
	blocked int64 // rows that others are in the way of, and that are not to be left out
}

// Plan returns what would be done.
func (w *Work) Plan() Plan { return w.plan }

// Err returns ErrConflict, with advice, where rows are in the way that are not to be left alone; nil for none.
func (w *Work) Err() error {
	if w.blocked == 0 {
		return nil
	}
	first, more := w.plan.Conflicts[0], ""
	if w.plan.Conflicting > 1 {
		more = fmt.Sprintf("; and %d more", w.plan.Conflicting-1)
	}
	err := message.Private(fmt.Errorf("%w: %s%s", ErrConflict, first.What, more), fmt.Sprintf("%v: %s%s", ErrConflict, first.public(), more))
	if first.Index != "" {
		return message.WithHint(err, "change or delete those rows first, or leave out the ones that they are in the way of: --on-conflict skip")
	}
	return message.WithHint(err, "--on-conflict skip leaves these rows as they are now, --on-conflict replace makes them what they were")
}

// Empty reports whether there is nothing to be done.
func (w *Work) Empty() bool { return w.plan.Inserted+w.plan.Replaced+w.plan.Removed == 0 }

// Plan says what bringing rows back would do to the database as it is now.
type Plan struct {
	Table    string `json:"table"`
	Undo     bool   `json:"undo"` // of rows that were brought back
	Rows     int64  `json:"rows"` // chosen, and not there as they were
	Inserted int64  `json:"inserted"`
	Replaced int64  `json:"replaced"`
	Removed  int64  `json:"removed"` // by an undo
	Skipped  int64  `json:"skipped"`
	// Unchanged rows were chosen, and are as they were.
	Unchanged int64 `json:"unchanged"`
	// Conflicts are the first rows that others are in the way of; Conflicting is how many there are.
	Conflicts   []Conflict       `json:"conflicts"`
	Conflicting int64            `json:"conflicting"`
	Tables      []TableRows      `json:"tables"`          // the same by table: Table, then those whose rows come along
	Triggers    []string         `json:"triggers"`        // of the database, that will run
	NewColumns  []string         `json:"new_columns"`     // since then: they get their defaults
	LostColumns []string         `json:"dropped_columns"` // since then: what they held does not come back
	Changes     []rowdiff.Change `json:"changes"`         // the first of them
	Truncated   bool             `json:"truncated"`       // there are more than Changes
	Bound       [2][32]byte      `json:"-"`               // digests of what a later plan has to do, see Holds
}

// NewPlan is a plan that does nothing.
func NewPlan(table string) Plan {
	return Plan{Table: table, Conflicts: []Conflict{}, Tables: []TableRows{}, Triggers: []string{}, NewColumns: []string{}, LostColumns: []string{},
		Changes: []rowdiff.Change{}}
}

// Counts is the plan without what is in the rows: it can be kept, and shown to those who may not see them.
func (p Plan) Counts() Plan {
	p.Truncated = p.Truncated || len(p.Changes) > 0
	p.Changes, p.Conflicts = []rowdiff.Change{}, []Conflict{}
	return p
}

// TableRows counts what is done to the rows of a table.
type TableRows struct {
	Table    string `json:"table"`
	Inserted int64  `json:"inserted"`
	Replaced int64  `json:"replaced"`
	Removed  int64  `json:"removed"`
	Skipped  int64  `json:"skipped"`
}

func (t *TableRows) add(n TableRows) {
	t.Inserted, t.Replaced, t.Removed, t.Skipped = t.Inserted+n.Inserted, t.Replaced+n.Replaced, t.Removed+n.Removed, t.Skipped+n.Skipped
}

// String counts it for a person.
func (t TableRows) String() string {
	parts := make([]string, 0, 4)
	for _, n := range []struct {
		rows int64
		done string
	}{{t.Inserted, "inserted"}, {t.Replaced, "replaced"}, {t.Removed, "removed"}, {t.Skipped, "left out"}} {
		if n.rows > 0 {
			parts = append(parts, humanize.Comma(n.rows)+" "+n.done)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "no row")
	}
	return t.Table + ": " + strings.Join(parts, ", ")
}

// Words counts it for a person, by table.
func (p Plan) Words() string {
	all := make([]string, len(p.Tables))
	for i, t := range p.Tables {
		all[i] = t.String()
	}
	return strings.Join(all, "; ")
}

// Conflict is a row that another one is in the way of.
type Conflict struct {
	Row string `json:"row"` // which, for a person
	// Index is the UNIQUE index in which both have one value; "" where it is the key.
	Index string `json:"index,omitempty"`
	What  string `json:"what"` // for a person
	table string
}

// public is What without the key.
func (c Conflict) public() string { return strings.Replace(c.What, c.Row, "a row of "+c.table, 1) }

const (
	maxConflicts = 100
	maxChanges   = 1000
	maxShown     = 1 << 20 // bytes of Changes
)

// tableWork is what is to be done to one table.
type tableWork struct {
	*Rows
	ops     []op
	leaving []*row // of an undo: those that go, under any policy
	skipped int64
}

// counts counts it.
func (t *tableWork) counts() TableRows {
	n := TableRows{Table: t.name(), Skipped: t.skipped}
	for _, o := range t.ops {
		switch {
		case o.remove:
			n.Removed++
		case o.inserts():
			n.Inserted++
		default:
			n.Replaced++
		}
	}
	return n
}

// op makes one row what it was.
type op struct {
	row      *row
	changed  []int // the columns in which the row that is there now is another one; nil for one that is inserted or removed
	renumber bool  // inserted with another rowid
	remove   bool  // of an undo: the row that is there now goes
	forced   bool  // removed although others refer to it
}

func (o op) inserts() bool { return o.changed == nil && !o.remove }

// Compare compares the chosen rows with the database that conn reads, and says what is to be done. Errors: ErrStale where a table
// is not the one that rows were chosen for, ErrRefused, SQLite's.
func (c *Chosen) Compare(ctx context.Context, conn *sqlite.Conn) (*Work, error) {
	schema, err := rowdiff.ReadSchema(ctx, conn)
	if err != nil {
		return nil, err
	}
	w := &Work{Chosen: c, plan: NewPlan(c.Table), bound: newBinder()}
	w.plan.Undo = c.Undo
	for _, r := range c.rows {
		object, ok := schema.Table(r.name())
		if !ok || object.SQL != r.sql {
			return nil, fmt.Errorf("%w: %s", ErrStale, r.name())
		}
		now, err := schema.Describe(ctx, conn, object)
		if err != nil {
			return nil, err
		}
		now.Root = r.match.To.Root
		if !reflect.DeepEqual(now, r.match.To) {
			return nil, fmt.Errorf("%w: %s", ErrStale, r.name())
		}
		w.bound.table(schema, r)
		cmp := comparison{Work: w, t: &tableWork{Rows: r}, conn: conn}
		if err := cmp.run(ctx); err != nil {
			return nil, fmt.Errorf("compare with table %s: %w", r.name(), explainNow(err))
		}
		w.tables = append(w.tables, cmp.t)
	}
	if c.Undo {
		if err := w.keepReferred(ctx, conn, schema); err != nil {
			return nil, err
		}
	}
	w.halfway = slices.ContainsFunc(schema.Objects, func(o rowdiff.Object) bool {
		return o.Type == "trigger" && strings.Contains(strings.ToUpper(o.SQL), "FAIL")
	})
	w.describe(schema)
	w.plan.Bound = w.bound.sum()
	return w, nil
}

// describe says what the tables' work is.
func (w *Work) describe(schema *rowdiff.Schema) {
	w.count()
	p := &w.plan
	p.NewColumns, p.LostColumns = append(p.NewColumns, w.tables[0].added...), append(p.LostColumns, w.tables[0].gone...)
	for _, n := range p.Tables {
		p.Triggers = append(p.Triggers, triggers(schema, n)...)
	}
}

// count counts the tables' work.
func (w *Work) count() {
	p := &w.plan
	p.Inserted, p.Replaced, p.Skipped, p.Removed, p.Tables = 0, 0, 0, 0, []TableRows{}
	for i, t := range w.tables {
		n := t.counts()
		p.Inserted, p.Replaced, p.Removed, p.Skipped = p.Inserted+n.Inserted, p.Replaced+n.Replaced, p.Removed+n.Removed, p.Skipped+n.Skipped
		at := slices.IndexFunc(p.Tables, func(other TableRows) bool { return other.Table == n.Table }) // named in two ways
		switch {
		case at >= 0:
			p.Tables[at].add(n)
		case i == 0 || n != (TableRows{Table: n.Table}):
			p.Tables = append(p.Tables, n)
		}
	}
	p.Rows = p.Inserted + p.Replaced + p.Removed + p.Skipped + w.blocked
}

// explainNow returns what an error of the database's connection means.
func explainNow(err error) error {
	var e *sqlite.Error
	if sqlite.Classify(err) == sqlite.ClassOther && errors.As(err, &e) {
		return fmt.Errorf("%w: %s", ErrRefused, e.Msg) // a function or collation that only the application has
	}
	return err
}

// comparison compares the rows of one table with those that are there now.
type comparison struct {
	*Work
	t       *tableWork
	conn    *sqlite.Conn
	find    *sqlite.Stmt
	uniques []unique
	now     []sqlitefile.Value
	shown   int
}

func (c *comparison) run(ctx context.Context) (err error) {
	c.now = make([]sqlitefile.Value, len(c.t.match.Columns))
	if c.find, err = c.conn.Prepare(c.t.lookup("=")); err != nil {
		return err
	}
	defer c.find.Close()
	if err := c.mayChange(); err != nil {
		return err
	}
	if c.uniques, err = c.t.uniqueIndexes(ctx, c.conn); err != nil {
		return err
	}
	defer func() {
		for _, u := range c.uniques {
			u.find.Close()
		}
	}()
	for i := range c.t.rows {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		if x := &c.t.rows[i]; c.Undo {
			err = c.back(x, c.t.back[i])
		} else {
			err = c.one(x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayChange compiles the statements that will be needed: what the schema needs and this program does not have shows
// before anything is done.
func (c *comparison) mayChange() error {
	insert, err := c.conn.Prepare(c.t.insertion(c.t.rowid()))
	if err != nil {
		return err
	}
	insert.Close()
	return nil
}

// one compares one row.
func (c *comparison) one(x *row) error {
	there, same, err := c.lookup(x)
	if err != nil {
		return err
	}
	switch {
	case same:
		c.plan.Unchanged++
		return nil
	case there && !c.t.keyed() && c.t.whole: // its rowid says nothing
		return c.insert(x, true)
	case !there && !c.wants(true) && !c.t.along:
		return nil // it was chosen as one that is another now
	case !there:
		return c.insert(x, false)
	case (!c.wants(false) || c.t.along) && c.t.keyed():
		c.plan.Unchanged++ // it came back meanwhile, by the application
		return nil
	}
	what := c.t.named(*x) + " is another one now"
	if !c.t.keyed() {
		what = c.t.named(*x) + " has changed, or its number was given to another row"
	}
	c.bound.row(c.t.Rows, x, "another")
	c.bound.other(rowdiff.DigestOf(c.now))
	o := op{row: x, changed: c.changed(x)}
	if c.mayReplace(Conflict{Row: c.t.named(*x), What: what}, c.t) {
		c.t.ops = append(c.t.ops, o)
	}
	if c.OnConflict != Skip {
		c.show(o)
	}
	return nil
}

// changed are the columns in which the row that is there now is another one than x.
func (c *comparison) changed(x *row) (columns []int) {
	for i := range c.now {
		if !rowdiff.Identical(c.now[i], x.values[i]) {
			columns = append(columns, i)
		}
	}
	return columns
}

// mayReplace adds a conflict, counts what becomes of its row, and reports whether the policy is to go on all the same.
func (w *Work) mayReplace(x Conflict, t *tableWork) bool {
	x.table = t.name()
	if w.plan.Conflicting++; len(w.plan.Conflicts) < maxConflicts {
		w.plan.Conflicts = append(w.plan.Conflicts, x)
	}
	switch w.OnConflict {
	case Skip:
		t.skipped++
	case Fail:
		w.blocked++
	}
	return w.OnConflict == Replace
}

// insert adds the insertion of a row, unless another one has its value of a UNIQUE index.
func (c *comparison) insert(x *row, renumber bool) error {
	c.bound.row(c.t.Rows, x, "gone")
	for _, u := range c.uniques {
		taken, err := u.taken(x, c.t.match.Encoding)
		if err != nil {
			return err
		}
		if !taken {
			continue
		}
		c.bound.text(u.name)
		conflict := Conflict{Row: c.t.named(*x), Index: u.name, What: fmt.Sprintf("%s: another row has its %s", c.t.named(*x), strings.Join(u.columns, ", "))}
		if !c.mayReplace(conflict, c.t) {
			if c.OnConflict == Fail {
				c.show(op{row: x})
			}
			return nil
		}
		break // that row may get another value by its own replacement: the index says
	}
	o := op{row: x, renumber: renumber}
	c.show(o)
	c.t.ops = append(c.t.ops, o)
	return nil
}

// show adds an op to what the plan shows.
func (c *comparison) show(o op) {
	if len(c.plan.Changes) == maxChanges || c.shown > maxShown || len(c.tables) > 0 {
		c.plan.Truncated = true
		return
	}
	change := rowdiff.Change{Op: rowdiff.Insert}
	for _, k := range c.t.match.Key {
		change.Key = append(change.Key, c.field(k, o.row.values[k]))
	}
	if !c.t.keyed() {
		change.Key = rowdiff.Fields{{Column: "rowid", Value: o.row.id}}
	}
	columns := o.changed
	switch {
	case o.remove:
		change.Op, columns = rowdiff.Delete, indexes(c.now)
	case o.inserts():
		columns = indexes(o.row.values)
	default:
		change.Op = rowdiff.Update
	}
	for _, i := range columns {
		if !o.remove {
			change.After = append(change.After, c.field(i, o.row.values[i]))
		}
		if !o.inserts() {
			change.Before = append(change.Before, c.field(i, c.now[i]))
		}
		c.shown += len(o.row.values[i].Bytes) + len(c.now[i].Bytes)
	}
	c.plan.Changes = append(c.plan.Changes, change)
}

func (c *comparison) field(i int, v sqlitefile.Value) rowdiff.Field {
	return rowdiff.FieldOf(c.t.match.Columns[i], v, c.t.match.Encoding)
}

// lookup reads the row that is there now with the key of x into c.now.
func (c *comparison) lookup(x *row) (there, same bool, err error) {
	find := c.find
	if c.t.nullKey(x) {
		if find, err = c.conn.Prepare(c.t.lookup(" IS ")); err != nil { // NULL is no key: only the very row counts
			return false, false, err
		}
		defer find.Close()
	}
	find.Reset()
	if err := c.t.bindKey(find, 1, x); err != nil {
		return false, false, err
	}
	defer find.Reset()
	for {
		more, err := find.StepFast()
		if err != nil || !more {
			return there && find == c.find, false, err
		}
		there = true
		readValues(find, c.now, c.encoding, c.t.match.Encoding)
		if same = !slices.ContainsFunc(indexes(c.now), func(i int) bool { return !rowdiff.Identical(c.now[i], x.values[i]) }); same || find == c.find {
			for i := range c.now {
				c.now[i].Bytes = slices.Clone(c.now[i].Bytes)
			}
			return true, same, nil
		}
	}
}

// indexes are the numbers of the elements.
func indexes[E any](list []E) []int {
	n := make([]int, len(list))
	for i := range n {
		n[i] = i
	}
	return n
}
