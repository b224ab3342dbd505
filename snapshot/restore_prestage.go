package snapshot

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// prestaged is what a restore does before it locks the database, so that writers wait for
// no more than the exchange: the safety backup of a state, proven and not yet named, and
// the pages of the target that differ from it. Where somebody commits before the lock is
// had, the safety backup is made again with this one as its base, and most pages are
// still good.
type prestaged struct {
	snap   *pages.Snapshot
	token  *livedb.Token
	src    *source
	staged *staged
	stored *archive.Reader // of staged
	patch  *archive.Patch
}

// safetyRequest is for the backup of what a restore of e replaces.
func safetyRequest(e Backup) Request {
	return Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore, Pin: true, Note: "state before restoring " + e.ID}
}

// prestage proves e, and prestages what can be. It is nil, with no error, where nothing
// can be prestaged: then e is not proven either. Errors: *pageSizeError, and others.
func (m *Manager) prestage(ctx context.Context, r *archive.Reader, e Backup) (_ *prestaged, err error) {
	wait, cancel := m.lockContext(ctx)
	snap, err := pages.Begin(wait, m.cfg.Database, livedb.Options{ScratchDir: m.cfg.Dir, SecondReader: m.allWorkers() > 1, AvoidReadMark0: true})
	cancel()
	switch {
	case err == nil: // whatever has become of ctx since, snap has to be closed
	case errors.Is(err, livedb.ErrBusy), ctx.Err() != nil:
		return nil, err
	default:
		return nil, nil // BeginWrite gives the error that counts
	}
	p := &prestaged{snap: snap}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, p.close())
		}
	}()
	if snap.Info().PageSize != e.PageSize {
		return nil, &pageSizeError{snap.Info().PageSize, e.PageSize}
	}
	if p.token, err = snap.Token(); err != nil || p.token == nil {
		return nil, err
	}
	if p.src, err = m.prestagedSource(ctx, snap, safetyRequest(e)); err != nil || p.src == nil {
		return nil, err
	}
	p.src.seed = r.Seed() // so that the two can be compared
	if p.staged, err = m.stage(ctx, p.src, safetyRequest(e), m.now()); durable.IsNoSpace(err) {
		return nil, nil // there may be room for it without a private copy
	} else if err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	if p.stored, err = archive.NewReader(p.staged.file, p.staged.info.ArchiveBytes); err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	if p.patch, err = m.prestagedPatch(ctx, p.stored, r, e); err != nil {
		return nil, err
	}
	if err = p.staged.file.Sync(); err != nil { // publish syncs it, and writers would wait for that
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	m.atPoint("prestaged")
	done = true
	return p, nil
}

// prestagedSource is the state's image, read so that the token stays good: in WAL
// mode by the snapshot, which nobody waits for; else there is a private copy, or nil
// where there is no room for one.
func (m *Manager) prestagedSource(ctx context.Context, snap *pages.Snapshot, req Request) (*source, error) {
	if snap.Info().JournalMode == "wal" {
		return m.inPlace(snap, req), nil
	}
	if durable.Preflight(m.cfg.Dir, 2*snap.Info().Bytes()) != nil {
		return nil, nil
	}
	spool, err := durable.Scratch(m.cfg.Dir, "spool")
	if err != nil {
		return nil, fmt.Errorf("restore: spool: %w", err)
	}
	src, err := m.spooled(ctx, snap, spool, req, func() error { return snap.Release(ctx) })
	if err != nil {
		return nil, errors.Join(err, spool.Close())
	}
	src.beside = m.allWorkers() > 1
	return src, nil
}

// fetchedBytes is how many bytes of pages are prestaged of a small image.
const fetchedBytes = 16 << 20

// prestagedPatch proves e, and fetches the pages in which it differs from the safety backup.
func (m *Manager) prestagedPatch(ctx context.Context, safety, r *archive.Reader, e Backup) (*archive.Patch, error) {
	limit := max(fetchedBytes, e.DatabaseBytes/4)
	if free, err := durable.FreeSpace(m.cfg.Dir); err == nil {
		limit = min(limit, free/4)
	}
	patch := archive.NewPatch(r)
	if err := patch.From(safety); err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	prove := m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: "prove", Total: e.DatabaseBytes})
	err := patch.Fetch(ctx, m.cfg.Dir, limit, archive.CopyOptions{Workers: m.allWorkers(), Progress: prove})
	if err != nil {
		err = m.condemn(ctx, e, fmt.Errorf("restore: backup %s: %w", e.ID, err))
		return nil, errors.Join(err, patch.Close())
	}
	return patch, nil
}

// close drops what was not used. It may be called twice, and of nil.
func (p *prestaged) close() error {
	if p == nil {
		return nil
	}
	errs := []error{p.patch.Close()}
	if p.src != nil {
		errs = append(errs, p.src.close())
	}
	if p.staged != nil {
		errs = append(errs, p.staged.file.Discard())
	}
	return errors.Join(append(errs, p.snap.Close())...)
}
