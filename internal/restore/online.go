package restore

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/backup"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/proof"
)

// online restores through one write transaction of the live database. It returns a
// swapNeeded, with the backup proven and nothing changed, where SQLite cannot open the
// database for writing, or page size, reserved bytes or encoding differ.
//
//	prestage   pin the state, stage its safety backup, fetch the pages that differ
//	lock       begin the write transaction; from here on writers wait
//	safety     publish the safety backup; make it again where a commit came between
//	exchange   write the pages that differ
//	pending    the catalog notes the restore with its schema cookie
//	commit     afterwards, or after a crash, the cookie says whether it happened
func (r *restoring) online(ctx context.Context) error {
	p, err := r.prestage(ctx)
	var needed *swapNeeded
	if err != nil && !errors.As(err, &needed) {
		return err
	}
	defer func() {
		if err := p.close(); err != nil {
			r.Warn(progress.Warning{Err: err, Message: "what was prestaged for a restore could not be removed"})
		}
	}()
	if p == nil { // before a writer has to wait, or a program to close the database
		if err := r.image.Verify(ctx, r.proving()); err != nil {
			return r.unreadable(ctx, err)
		}
	}
	if err != nil {
		return err
	}
	return r.locked(ctx, p)
}

// proving announces that the backup is being proven.
func (r *restoring) proving() archive.CopyOptions {
	return archive.CopyOptions{Workers: r.Workers, Progress: r.Phase(progress.Prove, r.backup.DatabaseBytes)}
}

// unreadable is the error of a backup that could not be read; where that proves it damaged, it is marked failed.
func (r *restoring) unreadable(ctx context.Context, err error) error {
	return r.Failed(ctx, r.image, fmt.Errorf("restore: %s: %w", proof.Named(r.backup), err))
}

// prestaged is what a restore does before it locks the database, so that writers wait for
// no more than the exchange: the safety backup of a state, staged, and the pages of the
// target that differ from it. Where a writer commits before the lock is
// had, the safety backup is made again with this one as its base, and most pages are
// still good.
type prestaged struct {
	snap   *pages.Snapshot
	token  *livedb.Token
	safety *backup.Draft
	stored *archive.Reader // of safety
	patch  *archive.Patch
}

// prestage proves the backup, and prestages what can be. It is nil, with no error or with
// a swapNeeded, where nothing can be prestaged: then the backup is not proven either.
func (r *restoring) prestage(ctx context.Context) (*prestaged, error) {
	p, err := r.stageSafety(ctx, r.safetyDraft(), func(live livedb.Info) error { return r.sameLayout(ctx, live) })
	if p == nil || err != nil {
		return nil, err
	}
	if err := r.fetch(ctx, p); err != nil {
		return nil, errors.Join(err, p.close())
	}
	r.Point("prestaged")
	return p, nil
}

// stageSafety stages a safety backup of the present state, unless accept refuses that. It is nil, with no error or with
// a swapNeeded, where it cannot be staged before the database is locked.
func (r *Restorer) stageSafety(ctx context.Context, safety *backup.Draft, accept func(livedb.Info) error) (_ *prestaged, err error) {
	snap, err := safety.BeginRead(ctx, r.LockWait, livedb.Options{SecondReader: r.Workers > 1, AvoidReadMark0: true})
	switch {
	case err == nil: // even where ctx has ended since, snap has to be closed
	case errors.Is(err, livedb.ErrBusy), ctx.Err() != nil:
		return nil, err
	default:
		return nil, nil // BeginWrite gives the error that counts
	}
	p := &prestaged{snap: snap, safety: safety}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, p.close())
		}
	}()
	if err := accept(snap.Info()); err != nil {
		return nil, err
	}
	if err := safety.Recognise(ctx, snap.Tx); err != nil {
		return nil, err
	}
	if p.token, err = snap.Token(); err != nil || p.token == nil {
		return nil, err
	}
	if ok, err := p.capture(ctx); err != nil || !ok {
		return nil, orSwap(err)
	}
	if err := safety.Stage(ctx); durable.IsNoSpace(err) {
		return nil, nil // there may be room for it without a private copy
	} else if err != nil {
		return nil, orSwap(fmt.Errorf("restore: safety backup: %w", err))
	}
	if p.stored, err = safety.Reader(); err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	done = true
	return p, nil
}

// capture opens the state's image so that the token stays good: in WAL mode the
// snapshot keeps no writer waiting; else there is a private copy, or false where there is
// no room for one.
func (p *prestaged) capture(ctx context.Context) (bool, error) {
	if p.snap.Info().JournalMode == "wal" {
		p.safety.InPlace(p.snap)
		return true, nil
	}
	if err := durable.Preflight(p.safety.Catalog.Dir(), 2*p.snap.Info().Bytes()); durable.IsNoSpace(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, p.safety.Spool(ctx, p.snap, func() error { return p.snap.Release(ctx) })
}

// maxFetched is how many bytes of pages are prestaged of a small image.
const maxFetched = 16 << 20

// fetch proves the backup, and fetches the pages in which it differs from the safety backup.
func (r *restoring) fetch(ctx context.Context, p *prestaged) error {
	limit := max(maxFetched, r.backup.DatabaseBytes/4)
	if free, err := durable.FreeSpace(r.Target.Dir); err == nil {
		limit = min(limit, free/4)
	}
	p.patch = archive.NewPatch(r.image)
	if err := p.patch.From(p.stored); err != nil {
		return fmt.Errorf("restore: safety backup: %w", err)
	}
	if err := p.patch.Fetch(ctx, r.Target.Dir, limit, r.proving()); err != nil {
		return r.unreadable(ctx, err)
	}
	return nil
}

// close drops what was not used. It may be called twice, and of nil.
func (p *prestaged) close() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.patch.Close(), p.safety.Close(), p.snap.Close())
}

// locked is the part of online for which writers wait.
func (r *restoring) locked(ctx context.Context, p *prestaged) (err error) {
	page1 := make([]byte, r.backup.PageSize)
	if _, err := r.image.ReadAt(page1, 0); err != nil {
		return fmt.Errorf("restore: %s: %w", proof.Named(r.backup), err)
	}
	tx, err := pages.BeginWrite(ctx, r.Target.Database, r.LockWait)
	if err != nil {
		return orSwap(err)
	}
	defer func() {
		if e := tx.Rollback(); e != nil {
			err = errors.Join(err, fmt.Errorf("restore: roll back: %w", e))
		}
	}()
	if err := tx.Damage(); err != nil {
		return orSwap(err)
	}
	if err := r.sameLayout(ctx, tx.Snapshot().Info()); err != nil {
		return err
	}
	if err := r.Plan.sameFile(r.Target.Database); err != nil {
		return err
	}
	safety, err := r.saveLocked(ctx, tx, p, r.safetyDraft())
	if err != nil {
		return orSwap(fmt.Errorf("restore: safety backup: %w", err))
	}
	r.res.SafetyBackup = &safety.ID
	patch := archive.NewPatch(r.image)
	if p != nil {
		patch = p.patch
	}
	if err := r.exchange(ctx, tx, patch, page1, safety); err != nil {
		return r.exchangeFailed(ctx, tx, err)
	}
	r.Point("committed")
	r.Memory.Restored(r.outcome())
	return r.CheckRestored(ctx)
}

// saveLocked is the backup of the state that tx replaces, named and listed: the prestaged
// one, unless a writer committed meanwhile. Then it is made again by d, and reuses the frames
// in which nothing has changed.
func (r *Restorer) saveLocked(ctx context.Context, tx *pages.WriteTx, p *prestaged, d *backup.Draft) (catalog.Entry, error) {
	if p != nil {
		matches, err := tx.Matches(ctx, p.token)
		err = errors.Join(err, p.snap.Close()) // in the way of a commit, or of the log's end
		if err != nil {
			return catalog.Entry{}, err
		}
		if matches {
			return p.safety.Publish(ctx)
		}
		d.Base = p.stored
	}
	if err := tx.OpenSecondReader(ctx); err != nil {
		return catalog.Entry{}, err
	}
	d.InPlace(tx.Snapshot())
	if err := d.Recognise(ctx, tx.Snapshot().Tx); err != nil {
		return catalog.Entry{}, err
	}
	err := d.Stage(ctx)
	if p != nil && durable.IsNoSpace(err) { // there may be room without what was prestaged
		if err := p.close(); err != nil {
			return catalog.Entry{}, err
		}
		d.Base = nil
		err = d.Stage(ctx)
	}
	if err != nil {
		return catalog.Entry{}, err
	}
	defer d.Close()
	return d.Publish(ctx)
}

// exchange writes the pages in which the backup differs from safety, which holds the state
// of the transaction, and commits it. Until it announces that, the end of ctx leaves
// everything as it was.
func (r *restoring) exchange(ctx context.Context, tx *pages.WriteTx, patch *archive.Patch, page1 []byte, safety catalog.Entry) error {
	size := int64(r.backup.PageSize)
	if err := r.Plan.saved(r.backup, &safety); err != nil {
		return err
	}
	from, err := r.Catalog.OpenArchive(safety)
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
	report := r.Phase(progress.Write, count*size)
	image := pages.Image{Page1: page1, Pages: r.backup.DatabaseBytes / size, Changed: count}
	image.Fill = func(ctx context.Context, put func(int64, []byte) error) error {
		written := int64(0)
		return patch.Each(ctx, archive.CopyOptions{Workers: r.Workers}, func(pgno int64, page []byte) error {
			if err := put(pgno, page); err != nil {
				return err
			}
			written += size
			report(written)
			return nil
		})
	}
	if _, err := tx.Replace(ctx, image); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.Point("pages replaced")
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.pend(tx)
	r.Point("restore pending")
	r.Phase(progress.Commit, 0)
	if err := Commit(tx, context.WithoutCancel(ctx)); errors.Is(err, livedb.ErrBusy) {
		return fmt.Errorf("restore: commit: %w", err) // the transaction is still open
	} else if err != nil {
		return &commitError{err}
	}
	return nil
}

// exchangeFailed ends a restore whose exchange failed with cause. The safety backup is
// removed only where it is proven that the state which it holds is still the database's.
func (r *restoring) exchangeFailed(ctx context.Context, tx *pages.WriteTx, cause error) error {
	var failed *commitError
	uncertain := errors.As(cause, &failed)
	if err := tx.Rollback(); err != nil {
		cause, uncertain = errors.Join(cause, fmt.Errorf("restore: roll back: %w", err)), true
	}
	if tx.Cookie() == 0 { // nothing was written
		return errors.Join(cause, r.forget(ctx))
	}
	safety := *r.res.SafetyBackup
	undo := "backup " + safety + " holds what was there before; restore it to undo"
	now, err := r.schemaCookie(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		return message.WithHint(fmt.Errorf("%w; whether the restore was committed is not known yet (%w): safety backup %s is kept", cause, err, safety),
			"look at the database; "+undo)
	case pages.Committed(tx.Cookie(), now):
		r.Memory.Restored(r.outcome())
		return message.WithHint(fmt.Errorf("%w; the restore was committed all the same: safety backup %s is kept", cause, safety), undo)
	case uncertain: // a crash can still bring back what was written to the log
		return message.WithHint(fmt.Errorf("%w; the database has the state from before the restore: safety backup %s is kept all the same", cause, safety),
			"find out why the disk failed, then try again")
	}
	return errors.Join(cause, r.forget(ctx))
}
