package snapshot

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
)

// Drill rehearses a restore: the backup's image is written to a private file in the
// backup directory, synced, its digests proven on the way, and checked in full; the
// file is removed. The outcome is the catalog's last drill, the answer to how long a
// restore takes, and counts as a proof of level full of that backup.
//
// A damaged backup gives the outcome with [ErrCorrupt], and its entry state failed.
// Other errors, which leave no outcome: [ErrNotFound], [ErrBusy], [ErrNoSpace].
func (m *Manager) Drill(ctx context.Context, id string) (catalog.DrillOutcome, error) {
	unlock, err := m.operate(ctx, "drill")
	if err != nil {
		return catalog.DrillOutcome{}, m.failed(ctx, "drill", "", explain(err))
	}
	defer unlock()
	e, err := m.cat.Get(id)
	if err != nil {
		return catalog.DrillOutcome{}, m.failed(ctx, "drill", "", explain(fmt.Errorf("drill: %w", err)))
	}
	m.begun(ctx, "drill", e.ID)
	began := m.now()
	report, err := m.rehearse(ctx, e)
	if err != nil {
		return catalog.DrillOutcome{}, m.failedOn(ctx, "drill", e.ID, explain(err))
	}
	now := m.now()
	out := catalog.DrillOutcome{ID: e.ID, At: now, Verdict: string(report.Verdict), DurationMS: max(1, now.Sub(began).Milliseconds())}
	if err := m.rememberDrill(ctx, out, verdictOf(report, now)); err != nil {
		return catalog.DrillOutcome{}, m.failedOn(ctx, "drill", e.ID, explain(err))
	}
	if report.Damaged() {
		return out, m.failedOn(ctx, "drill", e.ID, &CorruptError{What: "backup " + e.ID, Report: report})
	}
	m.ev.emit(ctx, Event{Type: EventDrilled, Operation: "drill", Backup: e.ID, Done: e.DatabaseBytes, Total: e.DatabaseBytes,
		Message: fmt.Sprintf("backup restored on trial and checked in full in %d ms: %s", out.DurationMS, e.ID),
		more:    Activity{Detail: "restored on trial: " + out.Verdict, DatabaseBytes: e.DatabaseBytes, DurationMS: out.DurationMS}})
	return out, nil
}

// rehearse restores e to a scratch file and judges it there.
func (m *Manager) rehearse(ctx context.Context, e Backup) (_ integrity.Report, err error) {
	r, err := m.openArchive(e)
	if err != nil {
		return damagedReport(m.cat.Path(e), integrity.LevelFull, err)
	}
	defer r.Close() // it was only read
	image := r.Info().ImageBytes
	if err := durable.Preflight(m.cfg.Dir, image); err != nil {
		return integrity.Report{}, fmt.Errorf("drill: %w", err)
	}
	scratch, err := durable.Scratch(m.cfg.Dir, "drill")
	if err != nil {
		return integrity.Report{}, fmt.Errorf("drill: %w", err)
	}
	defer func() {
		if cerr := scratch.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("drill: %w", cerr))
		}
	}()
	p := m.progress(ctx, Event{Operation: "drill", Backup: e.ID, Phase: "unpack", Total: image})
	if err := r.CopyTo(ctx, scratch, archive.CopyOptions{Workers: m.allWorkers(), Progress: p}); err != nil {
		return damagedReport(m.cat.Path(e), integrity.LevelFull, fmt.Errorf("drill: backup %s: %w", e.ID, err))
	}
	if err := scratch.File.Sync(); err != nil { // a restore would wait for that too
		return integrity.Report{}, fmt.Errorf("drill: %w", err)
	}
	m.atPoint("drill unpacked")
	m.progress(ctx, Event{Operation: "drill", Backup: e.ID, Phase: "check"})
	report, err := integrity.CheckCopy(ctx, scratch.Name(), integrity.Options{Level: integrity.LevelFull})
	report.Path = m.cat.Path(e)
	return report, err
}

// rememberDrill keeps the outcome, and what it proves of the backup, in one step.
func (m *Manager) rememberDrill(ctx context.Context, out catalog.DrillOutcome, v catalog.Verification) error {
	err := m.cat.Update(context.WithoutCancel(ctx), func(tx *catalogfile.Tx) error {
		e, err := tx.Get(out.ID)
		if err != nil {
			return err
		}
		e.Verification = v
		tx.State().LastDrill = &out
		return tx.Put(e)
	})
	if err != nil {
		return fmt.Errorf("record drill: %w", err)
	}
	return m.cat.LinkLatest()
}
