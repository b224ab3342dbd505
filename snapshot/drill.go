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
func (m *Manager) Drill(ctx context.Context, id string) (DrillOutcome, error) {
	var out DrillOutcome
	op := &operation{kind: OpDrill, result: func() any { return out }}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		e, err := m.cat.Get(id)
		if err != nil {
			return Event{}, fmt.Errorf("drill: %w", err)
		}
		m.start(ctx, e.ID)
		began := m.now()
		report, err := m.rehearse(ctx, e)
		if err != nil {
			return Event{}, err
		}
		now := m.now()
		done := DrillOutcome{ID: e.ID, At: now, Verdict: string(report.Verdict), DurationMS: max(1, now.Sub(began).Milliseconds())}
		if err := m.recordDrill(ctx, done, verdictOf(report, now)); err != nil {
			return Event{}, err
		}
		if out = done; report.Damaged() {
			return Event{}, &CorruptError{What: "backup " + e.ID, Report: report}
		}
		return Event{Type: EventDrilled, Done: e.DatabaseBytes, Total: e.DatabaseBytes,
			Message: fmt.Sprintf("backup restored on trial and checked in full in %d ms: %s", out.DurationMS, e.ID),
			more:    Activity{Detail: "restored on trial: " + out.Verdict, DatabaseBytes: e.DatabaseBytes, DurationMS: out.DurationMS}}, nil
	})
	return out, err
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
	p := m.progress(ctx, Event{Operation: OpDrill, Backup: e.ID, Phase: PhaseUnpack, Total: image})
	if err := r.CopyTo(ctx, scratch, archive.CopyOptions{Workers: m.allWorkers(), Progress: p}); err != nil {
		return damagedReport(m.cat.Path(e), integrity.LevelFull, fmt.Errorf("drill: backup %s: %w", e.ID, err))
	}
	if err := durable.Sync(scratch.File); err != nil { // a restore would wait for that too
		return integrity.Report{}, fmt.Errorf("drill: %w", err)
	}
	m.atPoint("drill unpacked")
	m.progress(ctx, Event{Operation: OpDrill, Backup: e.ID, Phase: PhaseCheck})
	report, err := integrity.CheckCopy(ctx, scratch.Name(), integrity.Options{Level: integrity.LevelFull})
	report.Path = m.cat.Path(e)
	return report, err
}

// recordDrill keeps the outcome, and what it proves of the backup, in one step.
func (m *Manager) recordDrill(ctx context.Context, out DrillOutcome, v catalog.Verification) error {
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
