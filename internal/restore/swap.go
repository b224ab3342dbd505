package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/swap"
)

// swapTries is how often the database is saved again because it was written to
// before it was locked. A writer that commits that often in a row is in use.
const swapTries = 5

// swap restores by replacing the database's file.
func (r *restoring) swap(ctx context.Context) (err error) {
	reopen, err := r.Release(ctx)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() {
		if e := reopen(); e != nil {
			err = errors.Join(err, fmt.Errorf("restore: %w", e))
		}
	}()
	if err := r.Target.WaitUnused(ctx); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	staged, err := r.Unpack(ctx, r.image, r.Target.Database)
	if err != nil {
		return err
	}
	defer staged.Discard()
	r.Point("unpacked")
	if err := r.ReadBack(ctx, staged, r.image); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := r.applyWAL(ctx); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := r.replace(ctx, staged); err != nil {
		return err
	}
	return r.CheckRestored(ctx)
}

// applyWAL leaves the database without sidecars where they are sound. A damaged one
// stays as it is: the database will be quarantined whole.
func (r *restoring) applyWAL(ctx context.Context) error {
	if st, err := os.Stat(r.Target.Database); err != nil || st.Size() == 0 {
		return nil // save looks at the file too, and says what is wrong with it
	}
	if has, err := r.Target.HasSidecars(); err != nil || !has {
		return err
	}
	report, err := r.check(ctx, integrity.LevelQuick, r.LockWait)
	if err != nil || report.Damaged() {
		return err
	}
	return r.Target.ApplyWAL(ctx)
}

// replace saves what the database holds, and replaces its file by the staged one, if it did not change in
// between.
func (r *restoring) replace(ctx context.Context, staged *durable.File) error {
	for range swapTries {
		unchanged, err := livedb.SameState(r.Target.Database)
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		s := swap.Swap{Staged: staged, Sum: r.backup.ImageBLAKE3, Unchanged: unchanged}
		if s.Report, s.Preserve, err = r.save(ctx); err != nil {
			return err
		}
		o := r.outcome()
		s.Note = swap.Note{Backup: o.ID, Base: o.Base, Safety: o.Safety}
		done, err := r.Replace(ctx, s)
		if !done.Committed && r.res.SafetyBackup != nil { // nothing was changed
			err = errors.Join(err, r.forget(ctx))
		}
		if err == nil {
			r.res.Quarantined = done.Kept
			r.res.Reason += InPlaceReason(done.InPlace)
			r.Memory.Took(r.Took())
			return nil
		} else if !errors.Is(err, swap.ErrChanged) {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return message.WithHint(failure.As(failure.ErrBusy, fmt.Errorf("restore: %w, %d times", swap.ErrChanged, swapTries)), "stop the program that writes to the database, then try again")
}

// save keeps what the swap will replace: a sound database as a safety backup. Of
// anything else the swap has to preserve the files, with the report of a check.
func (r *restoring) save(ctx context.Context) (report integrity.Report, preserve bool, err error) {
	r.res.SafetyBackup = nil
	if err := r.Plan.sameFile(r.Target.Database); err != nil {
		return report, false, err
	}
	st, err := os.Stat(r.Target.Database)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && st.Size() == 0:
		if has, err := r.Target.HasSidecars(); err != nil {
			return report, false, fmt.Errorf("restore: %w", err)
		} else if has {
			return r.saveFiles(ctx)
		}
		return report, false, r.Plan.saved(r.backup, nil)
	case err != nil:
		return report, false, fmt.Errorf("restore: %w", err)
	}
	if err := r.damage(ctx); isDamage(err) {
		return r.saveFiles(ctx)
	} else if err != nil {
		return report, false, fmt.Errorf("restore: %w", err)
	}
	safety, err := r.saveBackup(ctx)
	if isDamage(err) {
		return r.saveFiles(ctx)
	}
	if err != nil {
		return report, false, fmt.Errorf("restore: safety backup: %w", err)
	}
	r.res.SafetyBackup = &safety.ID
	if err := r.Plan.saved(r.backup, &safety); err != nil {
		return report, false, errors.Join(err, r.forget(ctx))
	}
	return report, false, nil
}

// saveBackup backs up what the swap will replace. It fails, too, if the
// database cannot be closed afterwards: an open file cannot be replaced.
func (r *restoring) saveBackup(ctx context.Context) (_ catalog.Entry, err error) {
	d := r.safetyDraft()
	snap, err := d.BeginRead(ctx, r.LockWait, livedb.Options{})
	if err != nil {
		return catalog.Entry{}, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	if err := d.Recognise(ctx, snap.Tx); err != nil {
		return catalog.Entry{}, err
	}
	safety, _, err := d.Store(ctx, snap)
	return safety, err
}

// saveFiles has the swap preserve the files as they are.
func (r *restoring) saveFiles(ctx context.Context) (report integrity.Report, preserve bool, err error) {
	if err := r.Plan.saved(r.backup, nil); err != nil {
		return report, false, err
	}
	if report, err = r.check(ctx, integrity.LevelQuick, r.LockWait); err != nil {
		return report, false, fmt.Errorf("restore: %w", err)
	}
	return report, true, nil
}
