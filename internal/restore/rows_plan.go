package restore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/rowsback"
)

// What rows are chosen by, and what bringing them back changes.
type (
	RowsOptions = rowsback.Options
	RowsChange  = rowsback.Plan
)

// RowsPlan says what bringing rows back would do now. As [RestoreRowsOptions].Plan it binds that to it.
type RowsPlan struct {
	Backup catalog.Entry `json:"backup"` // or what describes the recovery point
	RowsChange

	work *rowsback.Work
}

// WriteSQL writes the statements that would be run, as a script in one transaction.
func (p RowsPlan) WriteSQL(w io.Writer) error { return p.work.WriteSQL(w) }

// Err is why it would be refused; nil where it would not.
func (p RowsPlan) Err() error { return failure.Explain(p.work.Err()) }

// Statements calls fn with each statement that would be run, until it returns false.
func (p RowsPlan) Statements(fn func(sql string) bool) { p.work.SQL(fn) }

// RestoreRowsOptions say which rows are brought back.
type RestoreRowsOptions struct {
	RowsOptions
	// Plan, when not nil, lets it go ahead only while it would do what that plan says: else ErrStale.
	Plan *RowsPlan
}

// PlanRows chooses rows of e, which proof.Find returned, and compares them with those of the database.
func (r *Restorer) PlanRows(ctx context.Context, states rowdiff.States, e catalog.Entry, o RowsOptions) (p RowsPlan, err error) {
	if err := o.Check(); err != nil {
		return p, err
	}
	var left *rowsback.Left
	if o.Undo {
		if left, err = r.left(e.ID); err != nil {
			return p, err
		}
	}
	p.Backup = e.Public()
	all := o.Where == "" && len(o.Keys) == 0 && !o.Undo // else few rows are looked up
	err = states.Compare(ctx, e.ID, rowdiff.LiveID, all, func(d *rowdiff.Diff, then, now *rowdiff.Side) error {
		var chosen *rowsback.Chosen
		if o.Undo {
			chosen, err = rowsback.Undo(ctx, d, then, left, o)
		} else {
			chosen, err = rowsback.Choose(ctx, d, then, now, o)
		}
		if err != nil {
			return err
		}
		p.work, err = chosen.Compare(ctx, now.Conn)
		if err == nil {
			p.RowsChange = p.work.Plan()
		}
		return err
	})
	if err != nil && o.Undo && errors.Is(err, rowsback.ErrRefused) {
		err = message.WithHint(err, "restore "+e.ID+" puts the whole database back as it was, without what was committed since")
	}
	return p, err
}

// left reads what bringing rows back left, after the backup with that id.
func (r *Restorer) left(id string) (left *rowsback.Left, err error) {
	f, err := catalogfile.Rows(r.Catalog, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if left, err = rowsback.ReadLeft(f); err != nil {
		return nil, message.WithHint(fmt.Errorf("undo: %w", err), "restore "+id+" puts the whole database back as it was, without what was committed since")
	}
	return left, nil
}

// holds returns ErrStale where now is not what the plan said, under the policy of o.
func (o RestoreRowsOptions) holds(now RowsChange) error {
	if p := o.Plan; p != nil && !p.Holds(now, o.OnConflict) {
		return message.WithHint(fmt.Errorf("%w: the rows, or what is in their way, are not those of the plan any more: %d rows now, %d in the plan; nothing was changed",
			failure.ErrStale, now.Rows, p.Rows), "look at what would be done now, and try again")
	}
	return nil
}
