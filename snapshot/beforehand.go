package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// prepared is what a restore makes ready before it locks the database, so that writers
// wait for no more than the exchange: the safety backup of a state, proven and without
// a name, and what the backup differs from that state in. Under the lock it counts only
// if the database still has that state.
type prepared struct {
	snap   *pages.Snapshot
	token  *livedb.Token
	src    *source
	differ *pages.Differences // nil where there are too many
	staged *staged
	stored *archive.Reader // of staged
}

// safetyRequest is for the backup of what a restore of e replaces.
func safetyRequest(e Backup) Request {
	return Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore, Pin: true, Note: "state before restoring " + e.ID}
}

// beforehand proves e, and makes ready what can be. It is nil, with no error, where nothing
// can be made ready: then e is not proven either.
func (m *Manager) beforehand(ctx context.Context, r *archive.Reader, e Backup) (_ *prepared, err error) {
	wait, cancel := m.lockContext(ctx)
	snap, err := pages.Begin(wait, m.cfg.Database, livedb.Options{ScratchDir: m.cfg.Dir, SecondReader: m.allWorkers() > 1, AvoidReadMark0: true})
	cancel()
	switch {
	case err == nil: // whatever has become of ctx since, snap has to be closed
	case errors.Is(err, livedb.ErrBusy), ctx.Err() != nil:
		return nil, err
	default:
		return nil, nil // whoever writes to it finds out, and knows what to do
	}
	p := &prepared{snap: snap}
	ready := false
	defer func() {
		if !ready {
			err = errors.Join(err, p.close())
		}
	}()
	if p.token, err = snap.Token(); err != nil || p.token == nil || snap.Info().PageSize != e.PageSize {
		return nil, err
	}
	req := safetyRequest(e)
	if p.src, err = m.sourceBeforehand(ctx, snap, req); err != nil || p.src == nil {
		return nil, err
	}
	p.src.seed = r.Seed()
	if p.differ, err = m.compare(ctx, r, e, p.src); err != nil {
		return nil, err
	}
	if p.staged, err = m.stage(ctx, p.src, req, m.now()); durable.IsNoSpace(err) {
		return nil, nil // there may be room for it without what differs beside it
	} else if err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	if p.stored, err = archive.NewReader(p.staged.file, p.staged.info.ArchiveBytes); err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	m.atPoint("prepared")
	ready = true
	return p, nil
}

// sourceBeforehand is the state's image, of which the mark outlives the reading: in WAL
// mode by the snapshot, which nobody waits for; else there is a private copy, or nil
// where there is no room for one.
func (m *Manager) sourceBeforehand(ctx context.Context, snap *pages.Snapshot, req Request) (*source, error) {
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

// close drops what was not used.
func (p *prepared) close() error {
	if p == nil {
		return nil
	}
	errs := []error{p.differ.Close()}
	if p.src != nil {
		errs = append(errs, p.src.close())
	}
	if p.staged != nil {
		errs = append(errs, p.staged.file.Discard())
	}
	return errors.Join(append(errs, p.snap.Close())...)
}

// manyDifferences is how many bytes of them are kept of a small image.
const manyDifferences = 16 << 20

// gathered is how many bytes of pages go through the pipe to the comparison at once.
const gathered = 1 << 20

// errEnough ends the reading of a database that has more pages than the image.
var errEnough = errors.New("enough")

// compare proves e, and compares it with the image of src.
func (m *Manager) compare(ctx context.Context, r *archive.Reader, e Backup, src *source) (*pages.Differences, error) {
	limit := max(manyDifferences, e.DatabaseBytes/4)
	if free, err := durable.FreeSpace(m.cfg.Dir); err == nil {
		limit = min(limit, free/4)
	}
	pr, pw := io.Pipe()
	c, err := pages.NewComparison(m.cfg.Dir, pr, e.PageSize, limit, archive.NewImageHash)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer c.Close()
	work, cancel := context.WithCancel(ctx)
	var live error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		gather := bufio.NewWriterSize(pw, gathered)
		if live = src.copyTo(work, gather, func(int64) {}); live == nil {
			live = gather.Flush()
		}
		pw.CloseWithError(live)
	}()
	end := func() {
		cancel()
		pr.CloseWithError(errEnough)
		<-ended
	}
	defer end() // also after a panic in a host's OnEvent
	prove := m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: "prove", Total: e.DatabaseBytes})
	err = r.CopyTo(work, c, archive.CopyOptions{Workers: m.allWorkers(), Progress: prove})
	end()
	switch {
	case err == nil:
		return c.Finish(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("restore: %w", ctx.Err())
	case live != nil && !errors.Is(live, errEnough) && !errors.Is(live, context.Canceled):
		return nil, fmt.Errorf("restore: %w", live)
	}
	return nil, m.condemn(ctx, e, fmt.Errorf("restore: backup %s: %w", e.ID, err))
}

// exchangeable is what e differs from the database in; known is false where the whole
// image has to be compared.
type exchangeable struct {
	known   bool
	differ  *pages.Differences
	changed pages.Changes
}

// safety is the backup of the state that tx replaces, named and listed, with what is
// known of the differences from it. What was prepared is that, unless somebody
// committed meanwhile: then most frames of it are still good.
func (m *Manager) safety(ctx context.Context, tx *pages.WriteTx, r *archive.Reader, p *prepared, e Backup) (_ Backup, x exchangeable, err error) {
	req := safetyRequest(e)
	var like *archive.Reader
	if p != nil {
		still, err := tx.Matches(ctx, p.token)
		err = errors.Join(err, p.snap.Close()) // in the way of a commit, or of the log's end
		if err != nil {
			return Backup{}, x, err
		}
		if still {
			m.atPoint("staged")
			b, err := m.publish(ctx, p.staged, req, *p.src.report, nil)
			return b, exchangeable{known: p.differ != nil, differ: p.differ}, err
		}
		like = p.stored
	}
	if err := tx.OpenSecondReader(ctx); err != nil {
		return Backup{}, x, err
	}
	src := m.inPlace(tx.Snapshot(), req)
	src.seed, src.base = r.Seed(), like
	st, err := m.stage(ctx, src, req, m.now())
	if p != nil && (errors.Is(err, archive.ErrDamaged) || durable.IsNoSpace(err)) {
		// It may be what was made ready, or the room that it takes.
		if err := p.close(); err != nil {
			return Backup{}, x, err
		}
		p, src.base = nil, nil
		st, err = m.stage(ctx, src, req, m.now())
	}
	if err != nil {
		return Backup{}, x, err
	}
	defer st.file.Discard()
	m.atPoint("staged")
	if p != nil {
		if x, err = p.since(ctx, st, r); err != nil {
			return Backup{}, x, fmt.Errorf("restore: %w", err)
		}
	}
	b, err := m.publish(ctx, st, req, *src.report, nil)
	return b, x, err
}

// since is what r differs from the state of now in, of which both archives are proven:
// where they have the same frames byte for byte, nothing has changed.
func (p *prepared) since(ctx context.Context, now *staged, r *archive.Reader) (x exchangeable, err error) {
	stored, err := archive.NewReader(now.file, now.info.ArchiveBytes)
	if err != nil {
		return x, err
	}
	defer stored.Close()
	if p.differ.Piece() == 0 || p.differ.Piece() != int64(stored.Info().FrameBytes) {
		return x, nil
	}
	changed, err := changedFrames(ctx, p.stored, stored)
	if err != nil || len(changed) > stored.Info().Frames/2 {
		return x, err // to read and compare it all at once is faster
	}
	image := (r.Info().ImageBytes + p.differ.Piece() - 1) / p.differ.Piece() // frames
	for len(changed) > 0 && changed[len(changed)-1] >= image {
		changed = changed[:len(changed)-1] // nothing is to be there
	}
	return exchangeable{known: true, differ: p.differ, changed: pages.Changes{Pieces: changed, Image: r}}, nil
}

// changedFrames returns the numbers of the frames in which the images of two archives differ.
func changedFrames(ctx context.Context, from, to *archive.Reader) (frames []int64, err error) {
	each := int64(to.Info().FrameBytes / max(1, to.Info().PageSize))
	for c, err := range archive.Diff(ctx, from, to) {
		if err != nil {
			return nil, err
		}
		if i := (c.Page - 1) / each; len(frames) == 0 || frames[len(frames)-1] != i {
			frames = append(frames, i)
		}
	}
	return frames, nil
}
