package restore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/backup"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/rowdiff"
	"example.com/snapd/internal/rowsback"
	"example.com/snapd/internal/sqlite"
)

// RowsResult says what bringing rows back did. It is kept: it counts, and has no values of rows.
type RowsResult struct {
	rowsback.Plan
	Applied      bool    `json:"applied"`       // false where there was nothing to be done
	SafetyBackup *string `json:"safety_backup"` // of the state before
	DurationMS   int64   `json:"duration_ms"`
}

// Rows brings rows that o chooses back into the database, through one write transaction:
//
//	plan       choose rows, and compare them; a refusal, or another plan than o has: the end
//	stage      the safety backup of a pinned state
//	lock       begin the write transaction; from here on writers wait
//	compare    the rows with those that are there now; nothing to be done, or conflicts: the end
//	safety     publish the safety backup; make it again where a commit came between
//	change     the rows, and the schema cookie; foreign keys hold
//	record     what was left, durably, for an undo
//	pending    the catalog notes it with the cookie
//	commit     afterwards, or after a crash, the cookie says whether it happened
//
// Under the lock, too, it has to be what the plan of o says. e is the backup or recovery point that the rows are of; of an undo the safety
// backup of what is undone.
func (r *Restorer) Rows(ctx context.Context, e catalog.Entry, states rowdiff.States, o RestoreRowsOptions) (RowsResult, error) {
	p, err := r.PlanRows(ctx, states, e, o.RowsOptions)
	if err == nil {
		err = p.work.Err() // before the database is saved
	}
	if err == nil {
		err = o.holds(p.RowsChange)
	}
	if err != nil {
		return RowsResult{}, err
	}
	j := &rowsRestore{Restorer: r, from: e, chosen: p.work.Chosen, accept: o.holds}
	err = j.run(ctx)
	j.res.Plan = j.res.Plan.Counts()
	j.res.DurationMS = r.Took()
	return j.res, err
}

// rowsRestore is one run of Rows.
type rowsRestore struct {
	*Restorer
	from   catalog.Entry
	chosen *rowsback.Chosen
	accept func(RowsChange) error
	res    RowsResult
}

func (r *rowsRestore) run(ctx context.Context) error {
	if err := r.damage(ctx); err != nil {
		return r.explain(err)
	}
	draft, err := r.draft(ctx)
	if err != nil {
		return err
	}
	p, err := r.stageSafety(ctx, draft, func(livedb.Info) error { return nil })
	if err != nil {
		return r.explain(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			r.Warn(progress.Warning{Err: err, Message: "what was prestaged could not be removed"})
		}
	}()
	r.Point("prestaged")
	return r.explain(r.locked(ctx, p))
}

// draft begins the safety backup.
func (r *rowsRestore) draft(ctx context.Context) (*backup.Draft, error) {
	note := "state before rows of " + r.from.ID + " were brought back"
	if r.chosen.Undo {
		note = "state before bringing rows back was undone to " + r.from.ID
	}
	d := r.Safety.Draft(backup.Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore, Pin: true, Note: note})
	var err error
	d.Seed, err = r.Catalog.PageSeed(ctx)
	return d, err
}

// explain is the error of a database that nothing can be brought back into.
func (r *rowsRestore) explain(err error) error {
	var needed *swapNeeded
	if errors.As(err, &needed) {
		err = errors.New(needed.reason)
	} else if !isDamage(err) {
		return err
	}
	return message.WithHint(failure.As(failure.ErrCorrupt, fmt.Errorf("rows can be brought back into a sound database only: %w", err)),
		"recover puts the database right, or restore puts a backup in its place")
}

// locked is the part for which writers wait.
func (r *rowsRestore) locked(ctx context.Context, p *prestaged) (err error) {
	tx, err := pages.BeginWrite(ctx, r.Target.Database, r.LockWait)
	if err != nil {
		return err
	}
	defer func() {
		if e := tx.Rollback(); e != nil {
			err = errors.Join(err, fmt.Errorf("roll back: %w", e))
		}
	}()
	if err := tx.Damage(); err != nil {
		return err
	}
	work, err := r.chosen.Compare(ctx, tx.Snapshot().Conn())
	if err != nil {
		return err
	}
	r.res.Plan = work.Plan()
	if err := work.Err(); err != nil {
		return err
	}
	if err := r.accept(work.Plan()); err != nil || work.Empty() {
		return err
	}
	d, err := r.draft(ctx)
	if err != nil {
		return err
	}
	safety, err := r.saveLocked(ctx, tx, p, d)
	if err != nil {
		return fmt.Errorf("safety backup: %w", err)
	}
	r.res.SafetyBackup = &safety.ID
	if err := r.change(ctx, tx, work); err != nil {
		return r.failed(ctx, tx, err)
	}
	r.Point("committed")
	r.done()
	return nil
}

// change makes the changes, and commits them. Until it announces that, the end of ctx leaves everything as it was.
func (r *rowsRestore) change(ctx context.Context, tx *pages.WriteTx, work *rowsback.Work) error {
	plan := work.Plan()
	report := r.Phase(progress.Write, plan.Inserted+plan.Replaced+plan.Removed)
	var left *rowsback.Left
	err := tx.Change(ctx, func(conn *sqlite.Conn) (err error) {
		if r.res.Plan, err = work.Apply(ctx, conn, report); err == nil {
			left, err = work.Left(conn)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.Point("rows changed")
	err = catalogfile.KeepRows(r.Catalog, *r.res.SafetyBackup, func(w io.Writer) error {
		_, err := left.WriteTo(w)
		return err
	})
	if err != nil {
		return err
	}
	r.Point("record kept")
	if err := ctx.Err(); err != nil {
		return err
	}
	outcome := r.outcome()
	r.Memory.Update("restore", func(s *catalog.State) {
		s.Restoring = &catalog.Restoring{RestoreOutcome: catalog.RestoreOutcome{ID: r.from.ID, At: outcome.At, Action: r.Operation, Safety: outcome.Safety},
			Cookie: tx.Cookie(), Rows: &outcome}
	})
	r.Point("restore pending")
	r.Phase(progress.Commit, 0)
	if err := Commit(tx, context.WithoutCancel(ctx)); errors.Is(err, livedb.ErrBusy) {
		return fmt.Errorf("commit: %w", err) // the transaction is still open
	} else if err != nil {
		return &commitError{err}
	}
	return nil
}

// outcome is what the catalog keeps.
func (r *rowsRestore) outcome() catalog.RowsOutcome {
	p := r.res.Plan
	return catalog.RowsOutcome{ID: r.from.ID, At: r.Now(), Safety: *r.res.SafetyBackup, Table: p.Table, Inserted: p.Inserted, Replaced: p.Replaced,
		Removed: p.Removed, Skipped: p.Skipped}
}

// done records that it is committed.
func (r *rowsRestore) done() {
	r.res.Applied = true
	outcome := r.outcome()
	r.Memory.Update("restore", func(s *catalog.State) { s.LastRows, s.Restoring = &outcome, nil })
}

// failed ends what failed with cause. The safety backup is removed only where it is proven that the state which
// it holds is still the database's.
func (r *rowsRestore) failed(ctx context.Context, tx *pages.WriteTx, cause error) error {
	var commit *commitError
	uncertain := errors.As(cause, &commit)
	if err := tx.Rollback(); err != nil {
		cause, uncertain = errors.Join(cause, fmt.Errorf("roll back: %w", err)), true
	}
	safety := *r.res.SafetyBackup
	undo := "backup " + safety + " holds what was there before"
	if tx.Cookie() != 0 {
		now, err := r.schemaCookie(context.WithoutCancel(ctx))
		switch {
		case err != nil:
			return message.WithHint(fmt.Errorf("%w; whether it was committed is not known yet (%w): safety backup %s is kept", cause, err, safety),
				"look at the database; "+undo)
		case pages.Committed(tx.Cookie(), now):
			r.done()
			return message.WithHint(fmt.Errorf("%w; the rows are back all the same: safety backup %s is kept", cause, safety), undo)
		case uncertain: // a crash can still bring back what was written to the log
			return message.WithHint(fmt.Errorf("%w; the database is as it was: safety backup %s is kept all the same", cause, safety),
				"find out why the disk failed, then try again")
		}
		r.Memory.Update("restore", func(s *catalog.State) { s.Restoring = nil })
	}
	err := r.forgetSafety(ctx, safety)
	if err == nil {
		r.res.SafetyBackup = nil
	}
	return errors.Join(cause, err)
}
