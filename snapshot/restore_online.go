package snapshot

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlitefile"
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
			r.m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRestore, Backup: r.backup.ID, Err: err,
				Message: "what was prestaged for a restore could not be removed"})
		}
	}()
	if p == nil { // before a writer has to wait, or a program to close the database
		if err := r.image.Verify(ctx, r.proving(ctx)); err != nil {
			return r.image.failed(ctx, r.m, fmt.Errorf("restore: %s: %w", named(r.backup), err))
		}
	}
	if err != nil {
		return err
	}
	return r.locked(ctx, p)
}

// proving announces that the backup is being proven.
func (r *restoring) proving(ctx context.Context) archive.CopyOptions {
	return archive.CopyOptions{Workers: r.m.cfg.workers(),
		Progress: r.m.progress(ctx, Event{Operation: OpRestore, Backup: r.backup.ID, Phase: PhaseProve, Total: r.backup.DatabaseBytes})}
}

// sameLayout returns a swapNeeded where open connections take something for granted of the
// live database that is otherwise in the backup.
func (r *restoring) sameLayout(ctx context.Context, live livedb.Info) error {
	if live.PageSize != r.backup.PageSize {
		return &swapNeeded{fmt.Sprintf("page size %d live, %d in the backup", live.PageSize, r.backup.PageSize)}
	}
	var h sqlitefile.Header
	if _, err := r.image.ReadAt(h[:], 0); err != nil {
		return r.image.failed(ctx, r.m, fmt.Errorf("restore: %s: %w", named(r.backup), err))
	}
	if live.Reserved != h.Reserved() {
		return &swapNeeded{fmt.Sprintf("%d reserved bytes a page live, %d in the backup", live.Reserved, h.Reserved())}
	}
	if backup := h.Encoding(); backup.Valid() && live.Encoding != backup.String() {
		return &swapNeeded{fmt.Sprintf("text encoding %s live, %s in the backup", live.Encoding, backup)}
	}
	return nil
}

// prestaged is what a restore does before it locks the database, so that writers wait for
// no more than the exchange: the safety backup of a state, staged, and the pages of the
// target that differ from it. Where a writer commits before the lock is
// had, the safety backup is made again with this one as its base, and most pages are
// still good.
type prestaged struct {
	snap   *pages.Snapshot
	token  *livedb.Token
	safety *backing
	stored *archive.Reader // of safety
	patch  *archive.Patch
}

// safetyBacking begins the backup of what the restore replaces.
func (r *restoring) safetyBacking() *backing {
	return &backing{m: r.m, seed: r.image.Seed(), began: r.m.now(), // with the same seed the two can be compared
		req: Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore, Pin: true, Note: "state before restoring " + r.backup.ID}}
}

// prestage proves the backup, and prestages what can be. It is nil, with no error or with
// a swapNeeded, where nothing can be prestaged: then the backup is not proven either.
func (r *restoring) prestage(ctx context.Context) (_ *prestaged, err error) {
	m := r.m
	snap, err := m.pin(ctx, livedb.Options{SecondReader: m.cfg.workers() > 1, AvoidReadMark0: true})
	switch {
	case err == nil: // even where ctx has ended since, snap has to be closed
	case errors.Is(err, livedb.ErrBusy), ctx.Err() != nil:
		return nil, err
	default:
		return nil, nil // BeginWrite gives the error that counts
	}
	p := &prestaged{snap: snap, safety: r.safetyBacking()}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, p.close())
		}
	}()
	if err := r.sameLayout(ctx, snap.Info()); err != nil {
		return nil, err
	}
	if err := p.safety.recognise(ctx, snap.Tx); err != nil {
		return nil, err
	}
	if p.token, err = snap.Token(); err != nil || p.token == nil {
		return nil, err
	}
	if ok, err := p.capture(ctx); err != nil || !ok {
		return nil, orSwap(err)
	}
	if err := p.safety.stage(ctx); durable.IsNoSpace(err) {
		return nil, nil // there may be room for it without a private copy
	} else if err != nil {
		return nil, orSwap(fmt.Errorf("restore: safety backup: %w", err))
	}
	if err := p.safety.file.Sync(); err != nil { // publish syncs it, and writers would wait for that
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	if p.stored, err = archive.NewReader(p.safety.file, p.safety.info.ArchiveBytes); err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	if err := r.fetch(ctx, p); err != nil {
		return nil, err
	}
	m.atPoint("prestaged")
	done = true
	return p, nil
}

// capture opens the state's image so that the token stays good: in WAL mode the
// snapshot keeps no writer waiting; else there is a private copy, or false where there is
// no room for one.
func (p *prestaged) capture(ctx context.Context) (bool, error) {
	if p.snap.Info().JournalMode == "wal" {
		p.safety.inPlace(p.snap)
		return true, nil
	}
	if err := durable.Preflight(p.safety.m.cfg.Dir, 2*p.snap.Info().Bytes()); durable.IsNoSpace(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, p.safety.spool(ctx, p.snap, func() error { return p.snap.Release(ctx) })
}

// maxFetched is how many bytes of pages are prestaged of a small image.
const maxFetched = 16 << 20

// fetch proves the backup, and fetches the pages in which it differs from the safety backup.
func (r *restoring) fetch(ctx context.Context, p *prestaged) error {
	limit := max(maxFetched, r.backup.DatabaseBytes/4)
	if free, err := durable.FreeSpace(r.m.cfg.Dir); err == nil {
		limit = min(limit, free/4)
	}
	p.patch = archive.NewPatch(r.image)
	if err := p.patch.From(p.stored); err != nil {
		return fmt.Errorf("restore: safety backup: %w", err)
	}
	if err := p.patch.Fetch(ctx, r.m.cfg.Dir, limit, r.proving(ctx)); err != nil {
		return r.image.failed(ctx, r.m, fmt.Errorf("restore: %s: %w", named(r.backup), err))
	}
	return nil
}

// close drops what was not used. It may be called twice, and of nil.
func (p *prestaged) close() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.patch.Close(), p.safety.close(), p.snap.Close())
}

// locked is the part of online for which writers wait.
func (r *restoring) locked(ctx context.Context, p *prestaged) (err error) {
	m := r.m
	page1 := make([]byte, r.backup.PageSize)
	if _, err := r.image.ReadAt(page1, 0); err != nil {
		return fmt.Errorf("restore: %s: %w", named(r.backup), err)
	}
	tx, err := pages.BeginWrite(ctx, m.cfg.Database, m.cfg.LockWait)
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
	if err := r.Plan.sameFile(m.cfg.Database); err != nil {
		return err
	}
	safety, err := r.safety(ctx, tx, p)
	if err != nil {
		return orSwap(fmt.Errorf("restore: safety backup: %w", err))
	}
	patch := archive.NewPatch(r.image)
	if p != nil {
		patch = p.patch
	}
	if err := r.exchange(ctx, tx, patch, page1, safety); err != nil {
		return r.exchangeFailed(ctx, tx, safety, err)
	}
	m.atPoint("committed")
	r.res.SafetyBackup = &safety.ID
	m.mem.Restored(r.outcome())
	return r.checkRestored(ctx, r.backup.ID)
}

// safety is the backup of the state that tx replaces, named and listed: the prestaged
// one, unless a writer committed meanwhile. Then it is made again, and reuses the frames
// in which nothing has changed.
func (r *restoring) safety(ctx context.Context, tx *pages.WriteTx, p *prestaged) (Backup, error) {
	b := r.safetyBacking()
	if p != nil {
		matches, err := tx.Matches(ctx, p.token)
		err = errors.Join(err, p.snap.Close()) // in the way of a commit, or of the log's end
		if err != nil {
			return Backup{}, err
		}
		if matches {
			return p.safety.publish(ctx)
		}
		b.base = p.stored
	}
	if err := tx.OpenSecondReader(ctx); err != nil {
		return Backup{}, err
	}
	b.inPlace(tx.Snapshot())
	if err := b.recognise(ctx, tx.Snapshot().Tx); err != nil {
		return Backup{}, err
	}
	err := b.stage(ctx)
	if p != nil && durable.IsNoSpace(err) { // there may be room without what was prestaged
		if err := p.close(); err != nil {
			return Backup{}, err
		}
		b.base = nil
		err = b.stage(ctx)
	}
	if err != nil {
		return Backup{}, err
	}
	defer b.close()
	return b.publish(ctx)
}

// exchange writes the pages in which the backup differs from safety, which holds the state
// of the transaction, and commits it. Until it announces that, the end of ctx leaves
// everything as it was.
func (r *restoring) exchange(ctx context.Context, tx *pages.WriteTx, patch *archive.Patch, page1 []byte, safety Backup) error {
	m, size := r.m, int64(r.backup.PageSize)
	if err := r.Plan.saved(r.backup, &safety); err != nil {
		return err
	}
	from, err := m.cat.OpenArchive(safety)
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
	progress := m.progress(ctx, Event{Operation: OpRestore, Backup: r.backup.ID, Phase: PhaseWrite, Total: count * size})
	image := pages.Image{Page1: page1, Pages: r.backup.DatabaseBytes / size, Changed: count}
	image.Fill = func(ctx context.Context, put func(int64, []byte) error) error {
		written := int64(0)
		return patch.Each(ctx, archive.CopyOptions{Workers: m.cfg.workers()}, func(pgno int64, page []byte) error {
			if err := put(pgno, page); err != nil {
				return err
			}
			written += size
			progress(written)
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
	r.pend(tx, safety)
	m.atPoint("restore pending")
	r.committing(ctx, r.backup.ID)
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
func (r *restoring) exchangeFailed(ctx context.Context, tx *pages.WriteTx, safety Backup, cause error) error {
	m := r.m
	var failed *commitError
	uncertain := errors.As(cause, &failed)
	if err := tx.Rollback(); err != nil {
		cause, uncertain = errors.Join(cause, fmt.Errorf("restore: roll back: %w", err)), true
	}
	if tx.Cookie() == 0 { // nothing was written
		return errors.Join(cause, r.forget(ctx, safety.ID))
	}
	undo := "backup " + safety.ID + " holds what was there before; restore it to undo"
	now, err := schemaCookie(context.WithoutCancel(ctx), m)
	switch {
	case err != nil:
		return hint(fmt.Errorf("%w; whether the restore was committed is not known yet (%w): safety backup %s is kept", cause, err, safety.ID),
			"look at the database; "+undo)
	case pages.Committed(tx.Cookie(), now):
		r.res.SafetyBackup = &safety.ID
		m.mem.Restored(r.outcome())
		return hint(fmt.Errorf("%w; the restore was committed all the same: safety backup %s is kept", cause, safety.ID), undo)
	case uncertain: // a crash can still bring back what was written to the log
		return hint(fmt.Errorf("%w; the database has the state from before the restore: safety backup %s is kept all the same", cause, safety.ID),
			"find out why the disk failed, then try again")
	}
	return errors.Join(cause, r.forget(ctx, safety.ID))
}

// forget drops a safety backup of a state that was not replaced after all.
func (r *restoring) forget(ctx context.Context, id string) error {
	if err := r.m.cat.Delete(context.WithoutCancel(ctx), id); err != nil {
		return fmt.Errorf("remove the safety backup that is not needed: %w", err)
	}
	operationOf(ctx).changed = false
	return nil
}

// pend records a restore whose transaction is complete except for its
// commit: if the process dies right after that, nothing else says that it was made.
func (r *restoring) pend(tx *pages.WriteTx, safety Backup) {
	o := catalog.RestoreOutcome{ID: r.backup.ID, At: r.m.now(), Action: "restore", Safety: safety.ID, Base: r.pointBase()}
	r.m.mem.Update("restore", func(s *catalog.State) { s.Restoring = &catalog.Restoring{RestoreOutcome: o, Cookie: tx.Cookie()} })
}

// resolveRestore finds out whether a pending restore was committed when its process died.
// The caller holds the operation lock. Where the database cannot be read, the next
// operation tries again.
func resolveRestore(ctx context.Context, m *Manager) {
	state, err := m.cat.State()
	if err != nil || state.Restoring == nil {
		return // an operation that needs the state gets the error
	}
	now, err := schemaCookie(ctx, m)
	if err != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRestore, Backup: state.Restoring.ID, Err: err,
			Message: "whether a restore that was cut short was committed is not known yet"})
		return
	}
	committed := pages.Committed(state.Restoring.Cookie, now)
	m.mem.UpdateTx("restore", func(tx *catalogfile.Tx) {
		if r := tx.State().Restoring; r != nil && committed {
			tx.Restored(r.RestoreOutcome)
		}
		tx.State().Restoring = nil
	})
	if committed {
		m.ev.emit(ctx, Event{Type: EventRestoreReset, Operation: OpRestore, Backup: state.Restoring.ID, Path: m.cfg.Database,
			Message: "a restore that was cut short had been committed"})
	}
}

// cookie is the database's schema cookie.
func schemaCookie(ctx context.Context, m *Manager) (c uint32, err error) {
	s, err := m.pin(ctx, livedb.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return uint32(s.Info().SchemaVersion), nil
}
