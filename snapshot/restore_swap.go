package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/swap"
)

// swapTries is how often the database is saved again because it was written to
// before it was locked. A writer that commits that often in a row is in use.
const swapTries = 5

// swapping is a restore that replaces the database's file.
type swapping struct {
	*restoring
	target *swap.Target
	staged *durable.File // the proven image
}

// swap restores by replacing the database's file.
func (r *restoring) swap(ctx context.Context) (err error) {
	m := r.m
	if m.cfg.BeforeSwap != nil {
		if err := m.cfg.BeforeSwap(ctx); err != nil {
			return fmt.Errorf("restore: BeforeSwap: %w", err)
		}
	}
	if m.cfg.AfterSwap != nil {
		defer func() {
			if e := m.cfg.AfterSwap(context.WithoutCancel(ctx)); e != nil {
				err = errors.Join(err, fmt.Errorf("restore: AfterSwap: %w", e))
			}
		}()
	}
	defer suspendCaptures(m)()
	s := &swapping{restoring: r, target: m.target(ctx)}
	if err := s.target.WaitUnused(ctx); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if s.staged, err = r.unpack(ctx, r.image, r.backup, m.cfg.Database); err != nil {
		return r.image.failed(ctx, m, err)
	}
	defer s.staged.Discard()
	m.atPoint("unpacked")
	if err := r.readBack(ctx, s.staged, r.backup, r.image); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := s.applyWAL(ctx); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	return r.checkRestored(ctx, r.backup.ID)
}

// applyWAL leaves the database without sidecars where they are sound. A damaged one
// stays as it is: the database will be quarantined whole.
func (s *swapping) applyWAL(ctx context.Context) error {
	if st, err := os.Stat(s.m.cfg.Database); err != nil || st.Size() == 0 {
		return nil // save looks at the file too, and says what is wrong with it
	}
	if has, err := s.target.HasSidecars(); err != nil || !has {
		return err
	}
	report, err := s.m.look(ctx, integrity.LevelQuick, s.m.cfg.LockWait)
	if err != nil || report.Damaged() {
		return err
	}
	return s.target.ApplyWAL(ctx)
}

// run saves what the database holds, and replaces its file, if it did not change in
// between.
func (s *swapping) run(ctx context.Context) error {
	for range swapTries {
		unchanged, err := livedb.SameState(s.m.cfg.Database)
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		in, err := s.save(ctx)
		if err != nil {
			return err
		}
		in.Staged, in.Sum, in.Unchanged = s.staged, s.backup.ImageBLAKE3, unchanged
		in.Note.Backup, in.Note.Base = s.backup.ID, s.pointBase()
		if s.res.SafetyBackup != nil {
			in.Note.Safety = *s.res.SafetyBackup
		}
		done, err := s.replace(ctx, s.target, in)
		if !done.Committed && s.res.SafetyBackup != nil {
			// Nothing was changed: what was saved is not needed.
			err = errors.Join(err, s.forget(ctx, *s.res.SafetyBackup))
			s.res.SafetyBackup = nil
		}
		if err == nil {
			s.res.Quarantined = done.Kept
			s.res.Reason += inPlaceReason(done.InPlace)
			s.m.mem.Took(s.took())
			return nil
		} else if !errors.Is(err, swap.ErrChanged) {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return hint(failure.As(ErrBusy, fmt.Errorf("restore: %w, %d times", swap.ErrChanged, swapTries)), "stop the program that writes to the database, then try again")
}

// save keeps what the swap will replace: a sound database as a safety backup, and of
// anything else it has the swap preserve the files.
func (s *swapping) save(ctx context.Context) (swap.Swap, error) {
	m := s.m
	if err := s.Plan.sameFile(m.cfg.Database); err != nil {
		return swap.Swap{}, err
	}
	st, err := os.Stat(m.cfg.Database)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && st.Size() == 0:
		if has, err := s.target.HasSidecars(); err != nil {
			return swap.Swap{}, fmt.Errorf("restore: %w", err)
		} else if has {
			return s.saveFiles(ctx)
		}
		return swap.Swap{}, s.Plan.saved(s.backup, nil)
	case err != nil:
		return swap.Swap{}, fmt.Errorf("restore: %w", err)
	}
	if err := m.damagedFiles(ctx); isDamage(err) {
		return s.saveFiles(ctx)
	} else if err != nil {
		return swap.Swap{}, fmt.Errorf("restore: %w", err)
	}
	if damaged, err := damagedByJournal(ctx, m); err != nil {
		return swap.Swap{}, fmt.Errorf("restore: %w", err)
	} else if damaged {
		return s.saveFiles(ctx)
	}
	safety, err := s.saveBackup(ctx)
	if isDamage(err) {
		return s.saveFiles(ctx)
	}
	if err != nil {
		return swap.Swap{}, fmt.Errorf("restore: safety backup: %w", err)
	}
	if err := s.Plan.saved(s.backup, &safety); err != nil {
		return swap.Swap{}, errors.Join(err, s.forget(ctx, safety.ID))
	}
	s.res.SafetyBackup = &safety.ID
	return swap.Swap{}, nil
}

// saveBackup backs up what the swap will replace. It fails, too, if the
// database cannot be closed afterwards: an open file cannot be replaced.
func (s *swapping) saveBackup(ctx context.Context) (_ Backup, err error) {
	snap, err := s.m.pin(ctx, livedb.Options{})
	if err != nil {
		return Backup{}, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	b := s.safetyBacking()
	if err := b.recognise(ctx, snap.Tx); err != nil {
		return Backup{}, err
	}
	return b.store(ctx, snap)
}

// saveFiles has the swap preserve the files as they are, with a check's report.
func (s *swapping) saveFiles(ctx context.Context) (swap.Swap, error) {
	if err := s.Plan.saved(s.backup, nil); err != nil {
		return swap.Swap{}, err
	}
	report, err := s.m.look(ctx, integrity.LevelQuick, s.m.cfg.LockWait)
	if err != nil {
		return swap.Swap{}, fmt.Errorf("restore: %w", err)
	}
	return swap.Swap{Preserve: true, Report: report}, nil
}

// replacing is what a restore and a recovery have in common.
type replacing struct {
	m     *Manager
	kind  Operation
	began time.Time
}

// took is how many milliseconds have passed, at least 1.
func (r *replacing) took() int64 { return max(1, r.m.now().Sub(r.began).Milliseconds()) }

// unpack writes the image of r to a temp file made for target and proves its
// digests on the way. The file is not synced yet.
func (r *replacing) unpack(ctx context.Context, image archive.Image, e Backup, target string) (_ *durable.File, err error) {
	size := image.Shape().Bytes()
	if err := durable.Fits(filepath.Dir(target), size); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	f, err := durable.Create(target, 0o600)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Discard())
		}
	}()
	p := r.m.progress(ctx, Event{Operation: r.kind, Backup: e.ID, Phase: PhaseUnpack, Total: size})
	if err := image.Unpack(ctx, f, archive.CopyOptions{Workers: r.m.cfg.workers(), Progress: p}); err != nil {
		return nil, fmt.Errorf("restore: %s: %w", named(e), err)
	}
	return f, nil
}

// readBack makes sure that the staged file holds the image of e, which is needed where e is a recovery point. A disk that returns
// something else proves nothing about the backup, and an older one would fare no better.
func (r *replacing) readBack(ctx context.Context, staged *durable.File, e Backup, image archive.Image) error {
	want, h := e.ImageBLAKE3, archive.NewImageHash()
	if isPoint(e) {
		want, h = image.Shape().Sum.Digits(), archive.NewSumHash(image.Seed(), image.Shape().PageSize)
	}
	err := swap.ReadBack(ctx, staged, e.DatabaseBytes, want, h)
	if errors.Is(err, swap.ErrOtherBytes) {
		err = hint(err, "check that disk; the backup is sound, and restore --to writes it to another one")
	}
	return err
}

// replace swaps s in for this operation, and reports what was kept.
func (r *replacing) replace(ctx context.Context, target *swap.Target, s swap.Swap) (swap.Result, error) {
	s.Note.Operation = string(r.kind)
	s.Committing = func() { r.committing(ctx, s.Note.Backup) }
	all, err := r.m.cat.Entries()
	if err != nil {
		return swap.Result{}, err
	}
	s.Access = lastAccess(all)
	res, err := target.Run(ctx, s)
	if err == nil {
		r.reportQuarantined(ctx, res.Kept)
	}
	return res, err
}

// lastAccess is who could use the database when it was last backed up, nil where that is not
// known. What another directory's archive says of it is a claim.
func lastAccess(all []Backup) *swap.Access {
	for _, e := range all {
		if a := catalogfile.OriginOf(e).Access; a != nil && !e.Adopted {
			return a
		}
	}
	return nil
}

// inPlaceReason is what the reason for a swap goes on with where the file was written in
// place: why it was.
func inPlaceReason(why string) string {
	if why == "" {
		return ""
	}
	return "; written in place, because " + why
}

// committing announces that the operation becomes irrevocable.
func (r *replacing) committing(ctx context.Context, id string) {
	r.m.progress(ctx, Event{Operation: r.kind, Backup: id, Phase: PhaseCommit})
}

// reportQuarantined says where a swap has kept what it replaced, if it has.
func (r *replacing) reportQuarantined(ctx context.Context, kept string) {
	if kept == "" {
		return
	}
	what := "the damaged database"
	if filepath.Ext(kept) != ".db" {
		what = "an orphan log"
	}
	r.m.ev.emit(ctx, Event{Type: EventQuarantined, Operation: r.kind, Path: kept, Message: what + " was kept as " + filepath.Base(kept)})
	gone, err := catalogfile.ThinQuarantines(r.m.cfg.Dir)
	for _, q := range gone {
		words := "removed " + q.Name + ": " + q.Why
		r.m.ev.emit(ctx, Event{Type: EventRemoved, Operation: r.kind, Path: q.Name, Message: words, more: Activity{Detail: words}})
	}
	if err != nil {
		r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: r.kind, Err: err, Message: "earlier damaged databases that were kept could not be compared"})
	}
}

// checkRestored checks the database after a restore.
func (r *replacing) checkRestored(ctx context.Context, id string) error {
	report, err := integrity.Check(context.WithoutCancel(ctx), r.m.cfg.Database,
		integrity.Options{Level: integrity.LevelQuick, ScratchDir: r.m.cfg.Dir, LockWait: r.m.cfg.LockWait})
	if err != nil {
		// The restore stands: the database holds a proven image.
		r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: r.kind, Backup: id, Err: err,
			Message: "the database was restored, but could not be checked afterwards"})
		return nil
	}
	r.m.mem.ReplaceCheck(report) // what a deeper one found was of the database that was replaced
	if report.Damaged() {
		return &CorruptError{What: "the restored database", Report: report}
	}
	return nil
}

// target is the database's file for internal/swap, in the operation of ctx.
func (m *Manager) target(ctx context.Context) *swap.Target {
	return &swap.Target{Database: m.cfg.Database, Dir: m.cfg.Dir, LockWait: m.cfg.LockWait, AssumeUnused: m.cfg.AssumeUnused, NewHash: archive.NewImageHash, Now: m.cfg.Now,
		Observer: swap.Observer{
			Point: m.atPoint,
			Committed: func(n swap.Note, kept string) {
				if n.Backup != "" {
					m.mem.Restored(catalog.RestoreOutcome{ID: n.Backup, Base: n.Base, Action: n.Operation, Safety: n.Safety, Kept: nameOf(kept)})
				} else { // a repair
					m.mem.Update("repair", func(s *catalog.State) { s.Placed, s.Gone = true, nil })
				}
				if n.Operation == string(OpRecover) {
					recovered(m, n.Backup, kept)
				}
			},
			Warn: func(w swap.Warning) {
				m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRestore, Path: w.Path, Err: w.Err, Message: w.Message})
			},
		}}
}

// warnOfPlace reports what will be in the way of a restore that has to replace the file.
func warnOfPlace(ctx context.Context, m *Manager) {
	concerns, err := m.target(ctx).Concerns()
	for _, what := range concerns {
		m.ev.emit(ctx, Event{Type: EventWarning, Path: m.cfg.Database, Message: what})
	}
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Path: m.cfg.Database, Err: err, Message: "what a restore would meet could not be looked at"})
	}
}

// finishSwap brings a swap that a crash cut short to its end, if there is one.
func finishSwap(ctx context.Context, m *Manager) error {
	end, err := m.target(ctx).Finish(ctx)
	if err != nil {
		return err
	}
	ev := Event{Type: EventRestoreReset, Operation: OpRestore, Backup: end.Note.Backup, Path: m.cfg.Database, Message: end.String()}
	if ev.Message == "" {
		return nil
	}
	if end.Outcome != swap.Completed {
		ev.more = Activity{Outcome: "failed", Code: "interrupted"}
	}
	m.ev.emit(ctx, ev)
	return nil
}
