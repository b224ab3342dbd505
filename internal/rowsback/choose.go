package rowsback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// maxChosen bounds the chosen rows, which are in memory, in bytes.
var maxChosen int64 = 256 << 20

// whereBudget is what the evaluation of an expression may cost.
var whereBudget = sqlite.Budget{Time: 2 * time.Minute, Memory: 256 << 20}

// Chosen are rows of an earlier state that are to be brought back.
type Chosen struct {
	Options
	rows     []*Rows // of the table, then of those that were brought along
	size     int64
	encoding sqlitefile.Encoding // of the database as it is now
}

// Choose chooses rows of the first state of d, which from reads; live reads the second one, the database as it is now. Errors: ErrOptions,
// ErrNoTable, ErrRefused, those of rowdiff.
func Choose(ctx context.Context, d *rowdiff.Diff, from, live *rowdiff.Side, o Options) (*Chosen, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	_, now := d.Schemas()
	c := &chooser{Chosen: &Chosen{Options: o, encoding: now.Encoding}, d: d, from: from}
	rows, err := c.table(ctx, o.Table)
	if err != nil {
		return nil, err
	}
	c.rows = append(c.rows, rows)
	c.Table = rows.name()
	err = c.choose(ctx, rows)
	if err == nil && o.References {
		err = c.follow(ctx, live)
	}
	if err != nil {
		return nil, err
	}
	return c.Chosen, nil
}

// chooser is the work on one choice.
type chooser struct {
	*Chosen
	d    *rowdiff.Diff
	from *rowdiff.Side
}

// table describes a table that rows are to be brought back into.
func (c *chooser) table(ctx context.Context, name string) (*Rows, error) {
	m, err := c.d.Match(ctx, name)
	return c.described(name, m, err)
}

// described is what a Match, or its error, says.
func (c *chooser) described(name string, m rowdiff.Match, err error) (*Rows, error) {
	if errors.Is(err, rowdiff.ErrNotRead) {
		return nil, fmt.Errorf("%w: table %s: %w", ErrRefused, name, err)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case m.From == nil:
		return nil, fmt.Errorf("%w in that state: %s", ErrNoTable, name)
	case m.To == nil:
		return nil, message.WithHint(fmt.Errorf("%w: the database has no table %s now", ErrRefused, name),
			"diff live ID --table "+name+" --sql prints what makes it again, with its rows")
	case m.From.From != m.From.Name || m.To.From != m.To.Name || m.To.Root == 0:
		return nil, message.WithHint(fmt.Errorf("%w: %s is a virtual table", ErrRefused, name), "bring back the rows of the table that it is made from")
	}
	r := &Rows{match: m, whole: m.By == rowdiff.ByRow}
	_, now := c.d.Schemas()
	object, _ := now.Table(name)
	r.sql = object.SQL
	for i, column := range m.From.Columns {
		if !slices.Contains(m.FromPlaces, i) {
			r.gone = append(r.gone, column.Name)
		}
	}
	for i, column := range m.To.Columns {
		if !slices.Contains(m.ToPlaces, i) {
			r.added = append(r.added, column.Name)
		}
	}
	if !r.keyed() && m.To.RowID == "" {
		return nil, fmt.Errorf("%w: the rows of %s have no key that can be compared", ErrRefused, name)
	}
	return r, nil
}

func (c *chooser) choose(ctx context.Context, r *Rows) error {
	switch {
	case !r.keyed() && !c.Missing:
		return message.WithHint(fmt.Errorf("%w: table %s has no primary key that holds in both states: which row became which cannot be said", ErrOptions, r.name()),
			"--missing brings back those of its rows that are gone as a whole")
	case len(c.Keys) > 0 && !r.keyed():
		return fmt.Errorf("%w: table %s has no primary key that holds in both states", ErrOptions, r.name())
	case len(c.Keys) > 0:
		return c.byKeys(ctx, r)
	case c.Where != "" && r.keyed():
		return c.scan(ctx, r, c.Where, nil, nil)
	}
	var picked map[int64]bool // nil: all
	if c.Where != "" {
		var err error
		if picked, err = c.pick(ctx, r); err != nil {
			return err
		}
	}
	return c.d.Pairs(ctx, r.name(), func(before, after *rowdiff.Row) error {
		if before == nil || r.keyed() && !c.wants(after == nil) || picked != nil && !picked[before.ID] {
			return nil
		}
		return c.add(r, before.ID, before.Values)
	})
}

// add adds a row, of which it keeps a copy.
func (c *chooser) add(r *Rows, id int64, values []sqlitefile.Value) error {
	x := row{id: id, values: slices.Clone(values)}
	const overhead = 64
	for i, v := range values {
		x.values[i].Bytes = bytes.Clone(v.Bytes)
		c.size += overhead + int64(len(v.Bytes))
	}
	if c.size > maxChosen {
		return message.WithHint(fmt.Errorf("%w: the rows take more than %d MiB", ErrRefused, maxChosen>>20),
			"choose fewer at a time by --where, or apply what diff live ID --table "+r.name()+" --sql prints")
	}
	r.rows = append(r.rows, x)
	return nil
}

// filter is what else a row is chosen by: the value of an expression.
type filter struct {
	of   string
	keep func(sqlitefile.Value) bool
}

// scan adds the rows of the earlier state for which an expression is true, and that also passes, unless that is nil.
func (c *chooser) scan(ctx context.Context, r *Rows, where string, bind []sqlitefile.Value, also *filter) error {
	names := make([]string, len(r.match.FromPlaces))
	for i, place := range r.match.FromPlaces {
		names[i] = r.match.From.Columns[place].Name
	}
	columns, n := quoted(names), len(names)
	if also != nil {
		columns, n = columns+","+also.of, n+1
	}
	values := make([]sqlitefile.Value, n)
	return c.sweep(ctx, r, columns, where, bind, func(st *sqlite.Stmt) error {
		then, _ := c.d.Schemas()
		if readValues(st, values, then.Encoding, r.match.Encoding); also != nil && !also.keep(values[n-1]) {
			return nil
		}
		return c.add(r, 0, values[:len(names)])
	})
}

// readValues reads the columns of a row of a database of encoding stored; text is converted where as is another one.
func readValues(st *sqlite.Stmt, values []sqlitefile.Value, stored, as sqlitefile.Encoding) {
	for i := range values {
		values[i] = st.Value(i, stored)
		if values[i].Kind == sqlitefile.Text && stored != as { // rowdiff then compares in UTF-8
			values[i].Bytes = []byte(st.Text(i))
		}
	}
}

// pick returns the rowids for which the expression is true.
func (c *chooser) pick(ctx context.Context, r *Rows) (map[int64]bool, error) {
	const most = 4 << 20
	picked := map[int64]bool{}
	if r.match.From.RowID == "" {
		return nil, fmt.Errorf("%w: the rows of %s had no rowid", ErrRefused, r.name())
	}
	err := c.sweep(ctx, r, r.match.From.RowID, c.Where, nil, func(st *sqlite.Stmt) error {
		if picked[st.Int(0)] = true; len(picked) > most {
			return fmt.Errorf("%w: the expression picks more than %d rows", ErrRefused, most)
		}
		return nil
	})
	return picked, err
}

// sweep calls fn with each row of the earlier state for which an expression is true.
func (c *chooser) sweep(ctx context.Context, r *Rows, columns, where string, bind []sqlitefile.Value, fn func(*sqlite.Stmt) error) error {
	c.from.Conn.Limit(whereBudget)
	defer c.from.Conn.Limit(sqlite.Budget{})
	st, err := c.from.Conn.Prepare("SELECT " + columns + " FROM main." + sqlite.QuoteName(r.match.From.Name) + " WHERE (\n" + where + "\n)")
	if err != nil {
		return c.explain(err)
	}
	defer st.Close()
	for i, v := range bind {
		if err := st.BindValue(i+1, v, r.match.Encoding); err != nil {
			return c.explain(err)
		}
	}
	for {
		more, err := st.Step(ctx)
		if err != nil {
			return c.explain(err)
		}
		if !more {
			return nil
		}
		if err := fn(st); err != nil {
			return err
		}
	}
}

// explain returns what an error of the earlier state's connection means.
func (c *chooser) explain(err error) error {
	err = c.explainRead(err)
	switch sqlite.Classify(err) {
	case sqlite.ClassBudget:
		return message.WithHint(fmt.Errorf("%w: the expression: %w", ErrRefused, err), "name the rows by a column that has an index")
	case sqlite.ClassOther:
		var e *sqlite.Error
		if errors.As(err, &e) {
			return message.Private(fmt.Errorf("%w: the expression: %s", ErrOptions, e.Msg), ErrOptions.Error()+": the expression cannot be evaluated")
		}
	}
	return err
}

// explainRead is explain of SQL that this program wrote.
func (c *chooser) explainRead(err error) error {
	if err != nil && c.from.Explain != nil {
		err = c.from.Explain(err)
	}
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return fmt.Errorf("%w: %w", rowdiff.ErrDamaged, err)
	}
	return err
}

// maxKeys is how many rows can be named by their keys.
const maxKeys = 10_000

// byKeys adds the rows with the keys of the options.
func (c *chooser) byKeys(ctx context.Context, r *Rows) error {
	if len(c.Keys) > maxKeys {
		return fmt.Errorf("%w: more than %d keys", ErrOptions, maxKeys)
	}
	for _, key := range c.Keys {
		var parts []string
		var bind []sqlitefile.Value
		for _, k := range r.match.Key {
			name := r.match.Columns[k]
			i := slices.IndexFunc(key, func(f rowdiff.Field) bool { return strings.EqualFold(f.Column, name) })
			if i < 0 || len(key) != len(r.match.Key) {
				return fmt.Errorf("%w: a key of %s has the columns %s, and no others", ErrOptions, r.name(), strings.Join(r.keyNames(), ", "))
			}
			v, err := valueOf(key[i].Value, r.match.Encoding)
			if err != nil {
				return err
			}
			parts, bind = append(parts, sqlite.QuoteName(name)+"=?"), append(bind, v)
		}
		if err := c.scan(ctx, r, strings.Join(parts, " AND "), bind, nil); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	r.rows = slices.DeleteFunc(r.rows, func(x row) bool {
		key := r.key(x)
		again := seen[key]
		seen[key] = true
		return again
	})
	return nil
}

func (r *Rows) keyNames() (names []string) {
	for _, k := range r.match.Key {
		names = append(names, r.match.Columns[k])
	}
	return names
}

// valueOf is the value of a field, its text in the encoding e.
func valueOf(v any, e sqlitefile.Encoding) (sqlitefile.Value, error) {
	switch v := v.(type) {
	case nil:
		return sqlitefile.Value{}, nil
	case int64:
		return sqlitefile.Value{Kind: sqlitefile.Integer, Int: v}, nil
	case float64:
		return sqlitefile.Value{Kind: sqlitefile.Real, Float: v}, nil
	case string:
		return sqlitefile.Value{Kind: sqlitefile.Text, Bytes: e.Encode(v)}, nil
	case []byte:
		return sqlitefile.Value{Kind: sqlitefile.Blob, Bytes: v}, nil
	}
	return sqlitefile.Value{}, fmt.Errorf("%w: a key is a number, a text, a blob or null", ErrOptions)
}
