package proof

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/sqlite"
)

// Verify proves e again at a level, quick or full, and records the outcome; of a recovery point nothing is kept.
// It returns e with it.
func (p *Prover) Verify(ctx context.Context, e catalog.Entry, level integrity.Level) (catalog.Entry, error) {
	report, err := p.proven(e, func(archiveOf opener) (integrity.Report, error) { return p.prove(ctx, e, archiveOf, level) })
	if err != nil {
		return e, err
	}
	at := p.Now()
	v := Verdict(report, at)
	if report.Verdict == "" { // the image was judged before
		v = e.Verification
		v.At = &at
	}
	if IsPoint(e) {
		e.Verification = v
	} else if err := p.Record(ctx, &e, v); err != nil {
		return e, err
	}
	if report.Damaged() {
		return e, &failure.CorruptError{What: Named(e), Report: report}
	}
	return e, nil
}

// prove judges the stored backup e: its bytes against the catalog's digest, then the
// image inside, unless that was judged before: then a sound one gives the zero Report.
func (p *Prover) prove(ctx context.Context, e catalog.Entry, archiveOf opener, level integrity.Level) (integrity.Report, error) {
	path, read := Path(p.Catalog, e), p.Phase(progress.ReadBack, e.DatabaseBytes)
	i, err := open(ctx, p.Catalog, e, archiveOf)
	if err != nil {
		return damagedReport(path, level, err)
	}
	defer i.Close() // it was only read
	if own, ok := i.Image.(*archive.Reader); ok && judged(e, own.Info(), level) {
		if err := i.Verify(ctx, archive.CopyOptions{Workers: p.Workers, Progress: read}); err != nil {
			return damagedReport(path, level, fmt.Errorf("verify: %w", err))
		}
		return integrity.Report{}, nil
	}
	return integrity.CheckImage(ctx, i, path, integrity.Options{Level: level, ScratchDir: p.Catalog.Dir(), Progress: func(done int64) {
		if read(done); done == i.Shape().Bytes() {
			p.Phase(progress.Check, 0)
		}
	}})
}

// judged reports whether the image with e's digest passed a check of this level as it
// was taken, and by the SQLite that this program has: another one's may look for more.
// What the archive says of that counts only where the catalog has the backup as
// verified, and at such a level: a rebuilt one has not, and the maker of an archive can
// have it say anything.
func judged(e catalog.Entry, i archive.Info, level integrity.Level) bool {
	said, err := integrity.ParseLevel(i.CheckLevel)
	seen, serr := integrity.ParseLevel(e.Verification.Level)
	return err == nil && serr == nil && e.Usable() && level <= min(said, seen) && i.SQLiteVersion == sqlite.Version()
}

// Drill rehearses a restore of e, and records the outcome: as the last drill, and as a proof at level full. That of a
// damaged backup comes with a CorruptError.
func (p *Prover) Drill(ctx context.Context, e catalog.Entry) (catalog.DrillOutcome, error) {
	began := p.Now()
	report, err := p.proven(e, func(archiveOf opener) (integrity.Report, error) { return p.rehearse(ctx, e, archiveOf) })
	if err != nil {
		return catalog.DrillOutcome{}, err
	}
	now := p.Now()
	done := catalog.DrillOutcome{ID: e.ID, At: now, Verdict: string(report.Verdict), DurationMS: max(1, now.Sub(began).Milliseconds())}
	drilled := func(s *catalog.State) { s.LastDrill = &done }
	if IsPoint(e) {
		p.Memory.Update("drill", drilled)
	} else if err := p.Record(ctx, &e, Verdict(report, now), drilled); err != nil {
		return catalog.DrillOutcome{}, err
	}
	if report.Damaged() {
		return done, &failure.CorruptError{What: Named(e), Report: report}
	}
	return done, nil
}

// rehearse restores e to a scratch file and judges it there.
func (p *Prover) rehearse(ctx context.Context, e catalog.Entry, archiveOf opener) (_ integrity.Report, err error) {
	path, dir, unpacked := Path(p.Catalog, e), p.Catalog.Dir(), p.Phase(progress.Unpack, e.DatabaseBytes)
	i, err := open(ctx, p.Catalog, e, archiveOf)
	if err != nil {
		return damagedReport(path, integrity.LevelFull, err)
	}
	defer i.Close() // it was only read
	if err := durable.Preflight(dir, i.Shape().Bytes()); err != nil {
		return integrity.Report{}, fmt.Errorf("drill: %w", err)
	}
	scratch, err := durable.Scratch(dir, "drill")
	if err != nil {
		return integrity.Report{}, fmt.Errorf("drill: %w", err)
	}
	defer func() {
		if cerr := scratch.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("drill: %w", cerr))
		}
	}()
	if err := i.Unpack(ctx, scratch, archive.CopyOptions{Workers: p.Workers, Progress: unpacked}); err != nil {
		return damagedReport(path, integrity.LevelFull, fmt.Errorf("drill: %s: %w", Named(e), err))
	}
	if err := durable.Sync(scratch.File); err != nil { // a restore would wait for that too
		return integrity.Report{}, fmt.Errorf("drill: %w", err)
	}
	p.Point("drill unpacked")
	p.Phase(progress.Check, 0)
	report, err := integrity.CheckCopy(ctx, scratch.Name(), integrity.Options{Level: integrity.LevelFull})
	report.Path = path
	return report, err
}
