package snapshot

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// restoreOnline restores through one write transaction of the live database. It
// returns the strategy that is left: how, when the restore is done; a swap with its
// reason, and nothing changed, where SQLite cannot open the database for writing, or the
// page sizes differ.
func (m *Manager) restoreOnline(ctx context.Context, r *archive.Reader, e Backup, plan *RestorePlan, how strategy, res *RestoreResult) (strategy, error) {
	p, err := m.prestage(ctx, r, e)
	instead, swap := swapInstead(err)
	if err != nil && !swap {
		return how, err
	}
	defer func() {
		if e := p.close(); e != nil {
			m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Backup: res.Restored, Err: e,
				Message: "what was prestaged for a restore could not be removed"})
		}
	}()
	if p == nil { // before anybody has to wait, or to close the database
		prove := m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: "prove", Total: e.DatabaseBytes})
		if err := r.Verify(ctx, archive.CopyOptions{Workers: m.allWorkers(), Progress: prove}); err != nil {
			return how, m.condemn(ctx, e, fmt.Errorf("restore: backup %s: %w", e.ID, err))
		}
	}
	if swap {
		return instead, nil
	}
	return m.restoreLocked(ctx, r, p, e, plan, how, res)
}

// swapInstead returns the swap, with its reason, where err says that the database
// cannot be restored through a transaction.
func swapInstead(err error) (strategy, bool) {
	var sizes *pageSizeError
	switch {
	case errors.Is(err, livedb.ErrMissing):
		return strategy{Swap, "there is no database"}, true
	case errors.As(err, &sizes):
		return strategy{Swap, sizes.Error()}, true
	case isDamage(err):
		return strategy{Swap, damageReason(err)}, true
	}
	return strategy{}, false
}

// pageSizeError: a database and a backup have different page sizes.
type pageSizeError struct{ live, backup int }

func (e *pageSizeError) Error() string {
	return fmt.Sprintf("page size %d live, %d in the backup", e.live, e.backup)
}

// restoreLocked is the part of restoreOnline for which writers wait.
func (m *Manager) restoreLocked(ctx context.Context, r *archive.Reader, p *prestaged, e Backup, plan *RestorePlan, how strategy, res *RestoreResult) (_ strategy, err error) {
	page1 := make([]byte, e.PageSize)
	if _, err := r.ReadAt(page1, 0); err != nil {
		return how, fmt.Errorf("restore: backup %s: %w", e.ID, err)
	}
	tx, err := pages.BeginWrite(ctx, m.cfg.Database, m.cfg.LockWait)
	if swap, ok := swapInstead(err); ok {
		return swap, nil
	}
	if err != nil {
		return how, err
	}
	defer func() {
		if e := tx.Rollback(); e != nil {
			err = errors.Join(err, fmt.Errorf("restore: roll back: %w", e))
		}
	}()
	if err := tx.Damage(); err != nil {
		return strategy{Swap, damageReason(err)}, nil
	}
	if live := tx.Snapshot().Info().PageSize; live != e.PageSize {
		return strategy{Swap, (&pageSizeError{live, e.PageSize}).Error()}, nil
	}
	if err := m.stillThere(plan); err != nil {
		return how, err
	}
	safety, err := m.safety(ctx, tx, r, p, e)
	if isDamage(err) {
		return strategy{Swap, damageReason(err)}, nil // it must be kept whole, which only a swap does
	}
	if err != nil {
		return how, fmt.Errorf("restore: safety backup: %w", err)
	}
	patch := archive.NewPatch(r)
	if p != nil {
		patch = p.patch
	}
	if err := m.exchange(ctx, tx, patch, page1, e, plan, safety); err != nil {
		return how, m.exchangeFailed(ctx, tx, safety, res, err)
	}
	m.atPoint("committed")
	res.SafetyBackup = &safety.ID
	m.rememberRestore(res.outcome(m))
	return how, m.checkRestored(ctx, e)
}

// safety is the backup of the state that tx replaces, named and listed: the prestaged
// one, unless somebody committed meanwhile. Then it is made again, and reuses the frames
// in which nothing has changed.
func (m *Manager) safety(ctx context.Context, tx *pages.WriteTx, r *archive.Reader, p *prestaged, e Backup) (Backup, error) {
	req := safetyRequest(e)
	var base *archive.Reader
	if p != nil {
		matches, err := tx.Matches(ctx, p.token)
		err = errors.Join(err, p.snap.Close()) // in the way of a commit, or of the log's end
		if err != nil {
			return Backup{}, err
		}
		if matches {
			m.atPoint("staged")
			return m.publish(ctx, p.staged, req, *p.src.report, nil)
		}
		base = p.stored
	}
	if err := tx.OpenSecondReader(ctx); err != nil {
		return Backup{}, err
	}
	src := m.inPlace(tx.Snapshot(), req)
	src.seed, src.base = r.Seed(), base
	st, err := m.stage(ctx, src, req, m.now())
	if p != nil && (errors.Is(err, archive.ErrDamaged) || durable.IsNoSpace(err)) {
		// It may be what was prestaged, or the room that it takes.
		if err := p.close(); err != nil {
			return Backup{}, err
		}
		src.base = nil
		st, err = m.stage(ctx, src, req, m.now())
	}
	if err != nil {
		return Backup{}, err
	}
	defer st.file.Discard()
	m.atPoint("staged")
	return m.publish(ctx, st, req, *src.report, nil)
}

// exchange writes the pages in which e differs from safety, which holds the state of the
// transaction, and commits it. Until it announces that, the end of ctx leaves everything
// as it was.
func (m *Manager) exchange(ctx context.Context, tx *pages.WriteTx, patch *archive.Patch, page1 []byte,
	e Backup, plan *RestorePlan, safety Backup) error {
	if err := plan.saved(e, &safety); err != nil {
		return err
	}
	from, err := m.openArchive(safety)
	if err != nil {
		return fmt.Errorf("restore: safety backup: %w", err)
	}
	defer from.Close()
	if err := patch.From(from); err != nil {
		return fmt.Errorf("restore: safety backup: %w", err)
	}
	count, err := patch.Count(ctx)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	write := m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: "write", Total: count * int64(e.PageSize)})
	image := pages.Image{Page1: page1, Pages: e.DatabaseBytes / int64(e.PageSize)}
	image.Fill = func(ctx context.Context, put func(int64, []byte) error) error {
		written := int64(0)
		return patch.Each(ctx, archive.CopyOptions{Workers: m.allWorkers()}, func(pgno int64, page []byte) error {
			if err := put(pgno, page); err != nil {
				return err
			}
			written += int64(len(page))
			write(written)
			return nil
		})
	}
	if _, err := tx.Replace(ctx, image); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.atPoint("pages replaced")
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.pendRestore(tx, e, safety)
	m.atPoint("restore pending")
	m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: PhaseCommit})
	if err := commit(tx, context.WithoutCancel(ctx)); errors.Is(err, livedb.ErrBusy) {
		return fmt.Errorf("restore: commit: %w", err) // the transaction is still open
	} else if err != nil {
		return &commitError{err}
	}
	return nil
}

// commit is how a restore commits; a test may have it fail.
var commit = (*pages.WriteTx).Commit

// commitError: a COMMIT failed. SQLite may have passed its point of no return.
type commitError struct{ err error }

func (e *commitError) Error() string { return "restore: commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// exchangeFailed ends a restore whose exchange failed with cause. The safety backup is
// removed only where it is proven that the state which it holds is still the database's.
func (m *Manager) exchangeFailed(ctx context.Context, tx *pages.WriteTx, safety Backup, res *RestoreResult, cause error) error {
	var failed *commitError
	uncertain := errors.As(cause, &failed)
	if err := tx.Rollback(); err != nil {
		cause, uncertain = errors.Join(cause, fmt.Errorf("restore: roll back: %w", err)), true
	}
	if tx.Cookie() == 0 { // nothing was written
		return errors.Join(cause, m.forget(ctx, safety.ID))
	}
	undo := "backup " + safety.ID + " holds what was there before; restore it to undo"
	now, err := m.cookie(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		return hint(fmt.Errorf("%w; whether the restore took effect is not known yet (%w): safety backup %s is kept", cause, err, safety.ID),
			"look at the database; "+undo)
	case pages.TookEffect(tx.Cookie(), now):
		res.SafetyBackup = &safety.ID
		m.rememberRestore(res.outcome(m))
		return hint(fmt.Errorf("%w; the restore took effect all the same: safety backup %s is kept", cause, safety.ID), undo)
	case uncertain: // a crash can still bring back what was written to the log
		return hint(fmt.Errorf("%w; the database has the state from before the restore: safety backup %s is kept all the same", cause, safety.ID),
			"find out why the disk failed, then try again")
	}
	return errors.Join(cause, m.forget(ctx, safety.ID))
}

// forget drops a safety backup of a state that was not replaced after all.
func (m *Manager) forget(ctx context.Context, id string) error {
	err := m.cat.Delete(context.WithoutCancel(ctx), id)
	if err != nil {
		return fmt.Errorf("remove the safety backup that is not needed: %w", err)
	}
	return nil
}
