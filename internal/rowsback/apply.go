package rowsback

import (
	"context"
	"errors"
	"fmt"
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
	done := int64(0)
	for _, t := range w.tables {
		a := applying{Work: w, t: t, conn: conn, updates: map[string]*sqlite.Stmt{}}
		err := a.run(ctx, func() { done++; progress(done) })
		a.close()
		if err != nil {
			return w.plan, err
		}
	}
	w.count()
	hold, err := conn.ForeignKeysHold()
	if err == nil && !hold {
		err = w.violated(ctx, conn)
	}
	return w.plan, err
}

// applying is the work on one table.
type applying struct {
	*Work
	t       *tableWork
	conn    *sqlite.Conn
	inserts [2]*sqlite.Stmt // without and with the rowid
	updates map[string]*sqlite.Stmt
}

func (a *applying) close() {
	for _, st := range a.inserts {
		if st != nil {
			st.Close()
		}
	}
	for _, st := range a.updates {
		st.Close()
	}
}

// run does all there is to do. A row that meets another one in a UNIQUE index is tried again after those behind it, which may
// take that one out of the way. What was not done after all is taken out of the work.
func (a *applying) run(ctx context.Context, each func()) error {
	left, done := a.t.ops, make([]op, 0, len(a.t.ops))
	for len(left) > 0 {
		var again []op
		var first error
		for i, o := range left {
			if i%64 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			changed, err := a.one(o)
			switch {
			case isUnique(err) && a.conn.InTransaction(): // else a trigger's OR ROLLBACK has ended it
				if again = append(again, o); first == nil {
					first = a.failed(o, err)
				}
			case err != nil:
				return a.failed(o, err)
			case !changed: // a trigger said RAISE(IGNORE)
				a.t.skipped++
				each()
			default:
				done = append(done, o)
				each()
			}
		}
		if len(again) == len(left) {
			if a.OnConflict != Skip {
				return message.WithHint(first, "change or delete the row that is in the way, or leave these out: --on-conflict skip")
			}
			a.t.skipped += int64(len(again))
			break
		}
		left = again
	}
	a.t.ops = done
	return nil
}

func (a *applying) one(o op) (changed bool, err error) {
	st, err := a.statement(o)
	if err != nil {
		return false, err
	}
	st.Reset()
	defer st.Reset()
	if o.changed == nil {
		err = a.bindInsertion(st, o)
	} else {
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
	return a.conn.Changed(), nil
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
	if o.changed == nil {
		which, rowid := 0, a.t.rowid() && !o.renumber
		if rowid {
			which = 1
		}
		if a.inserts[which] == nil {
			a.inserts[which], err = a.conn.Prepare(a.t.insertion(rowid))
		}
		return a.inserts[which], err
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
	sqliteConstraintUnique     = 2067
	sqliteConstraintRowID      = 2579
)

func isUnique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && slices.Contains([]int{sqliteConstraintUnique, sqliteConstraintPrimaryKey, sqliteConstraintRowID}, e.Code)
}

// failed is the error of a row that could not be brought back.
func (a *applying) failed(o op, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || sqlite.Classify(err) != sqlite.ClassOther {
		return err
	}
	sentinel := ErrRefused
	if e.Primary() == sqliteConstraint {
		sentinel = ErrConflict
	}
	return fmt.Errorf("%w: %s: %s", sentinel, a.t.named(*o.row), e.Msg)
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
			name := "a row of " + t.name()
			switch x := ids[st.Int(0)]; {
			case x != nil:
				name = t.named(*x)
			case len(ids) > 0:
				return nil // violated before
			}
			found = fmt.Errorf("%w: %s refers to a row of %s that is not there", ErrConflict, name, st.Text(1))
			return errFound
		})
		if found != nil {
			return message.WithHint(found, hint)
		}
		if err != nil {
			return err
		}
	}
	return message.WithHint(fmt.Errorf("%w: a foreign key would be violated, by what triggers of %s did or by rows that refer to one that is replaced",
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
