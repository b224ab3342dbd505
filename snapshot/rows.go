package snapshot

import (
	"context"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/restore"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/rowlog"
	"example.com/snapd/internal/rowsback"
)

// Differences between two states, under this package's name.
type (
	// DiffOptions say what of a comparison is wanted. The zero value counts the rows of all tables.
	DiffOptions = rowdiff.Options
	// DiffResult says which objects of the schema, and which rows, are not the same in two states.
	DiffResult = rowdiff.Result
	// TableChanges are the differences of one table.
	TableChanges = rowdiff.TableChanges
	// TableCounts counts them.
	TableCounts = rowdiff.TableCounts
	// ComparedBy says how the rows of a table were matched.
	ComparedBy = rowdiff.ComparedBy
	// SchemaChange is a table, index, view or trigger that is not the same.
	SchemaChange = rowdiff.SchemaChange
	// ChangeKind says what became of it.
	ChangeKind = rowdiff.ChangeKind
	// RowChange is a row that was inserted, deleted or updated: its Op.
	RowChange = rowdiff.Change
	// RowOp is what happened to a row.
	RowOp = rowdiff.Op
	// RowFields are columns of a row, in the order of its table.
	RowFields = rowdiff.Fields
	// RowField is the value of a column: nil, int64, float64, string or []byte.
	RowField = rowdiff.Field
	// LogQuery chooses recovery points by what they changed. Zero values do not restrict.
	LogQuery = rowlog.Query
	// LogEntry is a recovery point with what it changed.
	LogEntry = rowlog.Entry
)

// Rows that are brought back, under this package's name.
type (
	// RowsOptions choose rows of a table of a backup or recovery point, by Where, Keys, Missing or Changed.
	RowsOptions = rowsback.Options
	// RowsPolicy says what becomes of a row that another one is in the way of.
	RowsPolicy = rowsback.Policy
	// RowsConflict is such a row.
	RowsConflict = rowsback.Conflict
	// TableRows counts what is done to the rows of a table.
	TableRows = rowsback.TableRows
	// RowsChange counts what bringing rows back changes, and shows the first of it.
	RowsChange = rowsback.Plan
	// RowsPlan says what bringing rows back would do now: its SQL, and why [Manager.RestoreRows] would refuse it.
	// As [RestoreRowsOptions].Plan it binds that to it.
	RowsPlan = restore.RowsPlan
	// RestoreRowsOptions of [Manager.RestoreRows].
	RestoreRowsOptions = restore.RestoreRowsOptions
	// RestoredRows says what bringing rows back did.
	RestoredRows = restore.RowsResult
	// RowsOutcome is what the catalog keeps of that.
	RowsOutcome = catalog.RowsOutcome
)

// What becomes of rows that others are in the way of.
const (
	FailOnConflict, SkipOnConflict, ReplaceOnConflict = rowsback.Fail, rowsback.Skip, rowsback.Replace
)

// The values of those types.
const (
	ComparedByKey, ComparedByRowID, ComparedByRow       = rowdiff.ByKey, rowdiff.ByRowID, rowdiff.ByRow
	ObjectAdded, ObjectRemoved, ObjectChanged           = rowdiff.Added, rowdiff.Removed, rowdiff.Changed
	RowInserted, RowDeleted, RowUpdated           RowOp = rowdiff.Insert, rowdiff.Delete, rowdiff.Update
)

// Diff says in what the state to differs from the state from: rows of each table that were added, removed and changed, and objects of
// the schema. A state is a backup, a recovery point, or [Live]. Nothing is restored and nothing written but scratch files in
// the backup directory; memory is bounded for any number of rows. With Patch, the SQL that makes of the first state
// what the second one is, in one transaction, is written there.
//
// Rows are matched by their primary key; where a table has none by rowid, or as a whole where VACUUM renumbered rowids. Columns that are
// generated are not compared. Errors: [ErrNotFound], also for a table that neither state has, [ErrCorrupt], [ErrRefused] for a
// schema that is out of all proportion, [ErrBusy].
func (m *Manager) Diff(ctx context.Context, from, to string, o DiffOptions) (r DiffResult, err error) {
	if r, err = m.diff(ctx, from, to, o); err != nil {
		return r, explain(fmt.Errorf("diff %s %s: %w", from, to, err))
	}
	r.From, r.To = from, to
	return r, nil
}

func (m *Manager) diff(ctx context.Context, from, to string, o DiffOptions) (r DiffResult, err error) {
	err = statesOf(m).Compare(ctx, from, to, true, func(d *rowdiff.Diff, _, _ *rowdiff.Side) error {
		r, err = d.Compare(ctx, o)
		return err
	})
	return r, err
}

// statesOf are the states of the database that can be compared.
func statesOf(m *Manager) rowdiff.States {
	return rowdiff.States{Database: m.cfg.Database, Scratch: m.cfg.Dir, LockWait: m.cfg.LockWait,
		Image: func(ctx context.Context, id string) (rowdiff.State, error) {
			i, err := lookInside(ctx, m, id)
			if err != nil {
				return rowdiff.State{}, err
			}
			return i.State()
		}}
}

// Log returns the recovery points, newest first, each with what it changed: what is different in the point before it. next is the
// cursor for the following page, "" when there is none; a page may have fewer points than the limit, or none, and others
// after it, where many were looked at. The oldest point is not listed. Errors: [ErrNotFound] for a cursor whose point is gone and a
// table that no point has, and those of [Manager.Diff].
func (m *Manager) Log(ctx context.Context, q LogQuery) (page []LogEntry, next string, err error) {
	set, err := pointsOf(ctx, m)
	if err == nil {
		page, next, err = rowlog.Read(ctx, set, m.cat.OpenArchive, m.cfg.Dir, q)
	}
	if err != nil {
		return nil, "", explain(fmt.Errorf("log: %w", err))
	}
	return page, next, nil
}

// PlanRows says what [Manager.RestoreRows] would do. It changes nothing. Errors: as of that.
func (m *Manager) PlanRows(ctx context.Context, id string, o RowsOptions) (p RowsPlan, err error) {
	e, err := proof.Find(ctx, m.cat, id)
	if err == nil {
		p, err = restorerOf(ctx, m, e.ID).PlanRows(ctx, statesOf(m), e, o)
	}
	if err != nil {
		return RowsPlan{}, explain(fmt.Errorf("plan to bring back rows of %s: %w", id, err))
	}
	return p, nil
}

// RestoreRows brings rows of a backup or a recovery point back into the live database: those that are gone are inserted, and
// with [ReplaceOnConflict] those that are others now become what they were. All other rows stay as they are, and so does
// every commit of the application. The state before is saved as a backup first; then it is one transaction through SQLite's
// own locks, in which the rows are compared again. The database's triggers run, and foreign keys hold at its end.
//
// With Undo, id is the safety backup of bringing rows back, see [Manager.Replaced]: rows that are still as that left them become what
// they were before, others are conflicts, and everything else stays. An undo is undone in the same way.
//
// Errors: [ErrNotFound] also for a table, [ErrInvalid] for options that make no sense, [ErrRefused] where rows are in the way
// or would violate a constraint, [ErrStale] where Plan does not hold, [ErrBusy], [ErrCorrupt], [ErrNoSpace]; nothing is changed then.
func (m *Manager) RestoreRows(ctx context.Context, id string, o RestoreRowsOptions) (RestoredRows, error) {
	var done RestoredRows
	op := &operation{kind: OpRestoreRows, result: func() any { return done }}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		e, err := proof.Find(ctx, m.cat, id)
		if err != nil {
			return Event{}, fmt.Errorf("restore rows: %w", err)
		}
		m.start(ctx, e.ID)
		r := restorerOf(ctx, m, e.ID)
		r.Began, r.Operation = op.began, string(OpRestoreRows)
		done, err = r.Rows(ctx, e, statesOf(m), o)
		if err != nil {
			op.changed = done.SafetyBackup != nil
			return Event{}, fmt.Errorf("%s %s: %w", rowsWords(o), e.ID, err)
		}
		words := fmt.Sprintf("%s %s: %s", rowsWords(o), e.ID, done.Words())
		return Event{Type: EventDone, Path: m.cfg.Database, Message: words, more: Activity{Detail: words, DurationMS: done.DurationMS}}, nil
	})
	if err != nil {
		return RestoredRows{}, err
	}
	return done, nil
}

// rowsWords is what bringing rows back is called, before the id.
func rowsWords(o RestoreRowsOptions) string {
	if o.Undo {
		return "undo of rows brought back after"
	}
	return "rows brought back from"
}
