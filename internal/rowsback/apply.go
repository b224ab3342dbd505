package rowsback

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Apply does the work on the connection that it was compared with, in the write transaction that it was compared in. Triggers
// run; foreign keys, all deferred, are enforced from here on, and hold when it returns without an error. After an error the
// transaction can only be rolled back. ErrConflict: a row violates a constraint; the message names it.
func (w *Work) Apply(ctx context.Context, conn *sqlite.Conn, progress func(rows int64)) (Plan, error) {
	if err := w.Err(); err != nil {
		return w.plan, err
	}
	if err := conn.EnforceForeignKeys(); err != nil {
		return w.plan, err
	}
	if err := conn.Exec(ctx, "PRAGMA defer_foreign_keys=ON"); err != nil {
		return w.plan, err
	}
	by := map[*tableWork]*applying{}
	defer func() {
		for _, a := range by {
			a.close()
		}
	}()
	var steps []step
	for t, o := range w.steps() {
		if by[t] == nil {
			by[t] = &applying{Work: w, t: t, conn: conn, updates: map[string]*sqlite.Stmt{}}
		}
		steps = append(steps, step{by[t], o})
	}
	done := int64(0)
	if err := w.run(ctx, steps, func() { done++; progress(done) }); err != nil {
		return w.plan, err
	}
	for t, a := range by {
		t.ops = a.done
	}
	w.count()
	hold, err := conn.ForeignKeysHold()
	if err == nil && !hold {
		err = w.violated(ctx, conn)
	}
	return w.plan, err
}

// steps are the ops in the order in which they are carried out. Rows are removed last, in the opposite order in which they would be
// brought back: before those that they refer to.
func (w *Work) steps() iter.Seq2[*tableWork, op] {
	return func(yield func(*tableWork, op) bool) {
		for _, t := range w.tables {
			for _, o := range t.ops {
				if !o.remove && !yield(t, o) {
					return
				}
			}
		}
		for _, t := range slices.Backward(w.tables) {
			for _, o := range slices.Backward(t.ops) {
				if o.remove && !yield(t, o) {
					return
				}
			}
		}
	}
}

// step is an op, with what carries it out.
type step struct {
	*applying
	op
}

// run does all there is to do. A row that meets another one, in a UNIQUE index or by a foreign key, is tried again after those
// behind it, which may take that one out of the way.
func (w *Work) run(ctx context.Context, left []step, each func()) error {
	for len(left) > 0 {
		var again []step
		var first error
		for i, s := range left {
			if i%64 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			changed, err := s.whole(ctx, s.op)
			switch {
			case (isUnique(err) || s.remove && isConstraint(err)) && s.conn.InTransaction(): // else a trigger's OR ROLLBACK has ended it
				if again = append(again, s); first == nil {
					first = s.failed(s.op, err)
				}
				continue
			case err != nil:
				return s.failed(s.op, err)
			case changed:
				s.done = append(s.done, s.op)
			default: // a trigger said RAISE(IGNORE)
				s.t.skipped++
			}
			each()
		}
		if len(again) == len(left) {
			if w.OnConflict != Skip {
				return message.WithHint(first, "change or delete the row that is in the way, or leave these out: --on-conflict skip")
			}
			for _, s := range again {
				s.t.skipped++
			}
			return nil
		}
		left = again
	}
	return nil
}

// applying is the work on one table.
type applying struct {
	*Work
	t       *tableWork
	conn    *sqlite.Conn
	done    []op
	inserts [2]*sqlite.Stmt // without and with the rowid
	removal *sqlite.Stmt
	updates map[string]*sqlite.Stmt
}

func (a *applying) close() {
	for _, st := range append(a.inserts[:], a.removal) {
		if st != nil {
			st.Close()
		}
	}
	for _, st := range a.updates {
		st.Close()
	}
}

// whole is one, after whose error nothing of it is left: where a trigger may say OR FAIL, what was done before stays.
func (a *applying) whole(ctx context.Context, o op) (changed bool, err error) {
	if !a.halfway {
		return a.one(o)
	}
	if err := a.conn.Exec(ctx, "SAVEPOINT one_row"); err != nil {
		return false, err
	}
	changed, err = a.one(o)
	end := "RELEASE one_row"
	if err != nil {
		end = "ROLLBACK TO one_row; " + end
	}
	if a.conn.InTransaction() { // else a trigger has ended it
		if e := a.conn.Exec(ctx, end); e != nil {
			return false, e
		}
	}
	return changed, err
}

func (a *applying) one(o op) (changed bool, err error) {
	st, err := a.statement(o)
	if err != nil {
		return false, err
	}
	st.Reset()
	defer st.Reset()
	switch {
	case o.inserts():
		err = a.bindInsertion(st, o)
	default:
		for i, c := range o.changed {
			if err = st.BindValue(i+1, o.row.values[c], a.t.match.Encoding); err != nil {
				return false, err
			}
		}
		err = a.t.bindKey(st, len(o.changed)+1, o.row)
	}
	if err != nil {
		return false, err
	}
	if _, err := st.StepFast(); err != nil {
		return false, err
	}
	switch changed = a.conn.Changed(); {
	case o.remove && !changed: // a foreign key may have taken it along with another one
		there, err := a.t.there(a.conn, o.row)
		return !there, err
	case o.inserts() && a.t.match.To.RowID != "" && changed:
		o.row.id = a.conn.LastInsertRowID()
	}
	return changed, nil
}

func (a *applying) bindInsertion(st *sqlite.Stmt, o op) error {
	for i, v := range o.row.values {
		if err := st.BindValue(i+1, v, a.t.match.Encoding); err != nil {
			return err
		}
	}
	if a.t.rowid() && !o.renumber {
		return st.BindValue(len(o.row.values)+1, sqlitefile.Value{Kind: sqlitefile.Integer, Int: o.row.id}, a.t.match.Encoding)
	}
	return nil
}

// maxUpdates bounds the compiled updates of a table: rows may differ in many sets of columns.
const maxUpdates = 64

func (a *applying) statement(o op) (st *sqlite.Stmt, err error) {
	prepared := func(st **sqlite.Stmt, sql func() string) (*sqlite.Stmt, error) {
		var err error
		if *st == nil {
			*st, err = a.conn.Prepare(sql())
		}
		return *st, err
	}
	rowid := a.t.rowid() && !o.renumber
	switch {
	case o.remove:
		return prepared(&a.removal, a.t.deletion)
	case o.inserts() && rowid:
		return prepared(&a.inserts[1], func() string { return a.t.insertion(true) })
	case o.inserts():
		return prepared(&a.inserts[0], func() string { return a.t.insertion(false) })
	}
	sql := a.t.update(o.changed)
	if st := a.updates[sql]; st != nil {
		return st, nil
	}
	if len(a.updates) == maxUpdates {
		for key, st := range a.updates {
			st.Close()
			delete(a.updates, key)
		}
	}
	if st, err = a.conn.Prepare(sql); err == nil {
		a.updates[sql] = st
	}
	return st, err
}

// The extended result codes (https://www.sqlite.org/rescode.html).
const (
	sqliteConstraint           = 19
	sqliteConstraintPrimaryKey = 1555
	sqliteConstraintTrigger    = 1811
	sqliteConstraintUnique     = 2067
	sqliteConstraintRowID      = 2579
)

func isUnique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && slices.Contains([]int{sqliteConstraintUnique, sqliteConstraintPrimaryKey, sqliteConstraintRowID}, e.Code)
}

func isConstraint(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Primary() == sqliteConstraint
}

// failed is the error of a row that could not be brought back.
func (a *applying) failed(o op, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || sqlite.Classify(err) != sqlite.ClassOther {
		return err
	}
	sentinel := ErrRefused
	if isConstraint(err) {
		sentinel = ErrConflict
	}
	public := e.Msg // names of the schema
	if !isConstraint(err) || e.Code == sqliteConstraintTrigger {
		public = fmt.Sprintf("SQLite or a trigger refused it (code %d)", e.Code)
	}
	return message.Private(fmt.Errorf("%w: %s: %s", sentinel, a.t.named(*o.row), e.Msg), fmt.Sprintf("%v: a row of %s: %s", sentinel, a.t.name(), public))
}

// violated is the error of rows that violate a foreign key; it names one of them.
func (w *Work) violated(ctx context.Context, conn *sqlite.Conn) error {
	const hint = "--with-references brings along the rows that these refer to"
	for _, t := range w.tables {
		if len(t.ops) == 0 {
			continue
		}
		var found error
		ids := map[int64]*row{}
		for _, o := range t.ops {
			if id, ok := t.idOf(o.row); ok {
				ids[id] = o.row
			}
		}
		err := conn.Each(ctx, "SELECT rowid, parent FROM pragma_foreign_key_check("+sqlite.QuoteText(t.name())+")", func(st *sqlite.Stmt) error {
			anonymous := "a row of " + t.name()
			name := anonymous
			switch x := ids[st.Int(0)]; {
			case x != nil:
				name = t.named(*x)
			case len(ids) > 0:
				return nil // violated before
			}
			what := " refers to a row of " + st.Text(1) + " that is not there"
			found = message.Private(fmt.Errorf("%w: %s%s", ErrConflict, name, what), fmt.Sprintf("%v: %s%s", ErrConflict, anonymous, what))
			return errFound
		})
		if found != nil {
			return message.WithHint(found, hint)
		}
		if err != nil {
			return err
		}
	}
	return message.WithHint(fmt.Errorf("%w: a foreign key would be violated, by what triggers of %s did or by rows that refer to one that is replaced or removed",
		ErrConflict, strings.Join(w.names(), ", ")), "PRAGMA foreign_key_check lists what is violated already")
}

var errFound = errors.New("found")

// idOf is the rowid of a row, where it is known.
func (r *Rows) idOf(x *row) (int64, bool) {
	if !r.keyed() {
		return x.id, true
	}
	if r.match.To.Alias >= 0 && len(r.match.Key) == 1 && x.values[r.match.Key[0]].Kind == sqlitefile.Integer {
		return x.values[r.match.Key[0]].Int, true
	}
	return 0, false
}

func (w *Work) names() (names []string) {
	for _, t := range w.tables {
		names = append(names, t.name())
	}
	return names
}
