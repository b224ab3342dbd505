package snapshot

import (
	"context"
	"fmt"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/proof"
)

// Verify proves a stored backup again: the digests of the stored bytes, and a
// check of the image inside at level (quick or full; what is less proves nothing,
// and is taken for quick), unpacked to a private file. At quick a verified backup
// is not unpacked when its image passed that check as it was taken, by the same
// version of SQLite: the digest proves that it is that image to the byte, and
// the check would find the same again. The outcome is kept in the catalog. A damaged
// backup gives its entry with state failed and [ErrCorrupt]; a backup whose file
// has gone, [ErrNotFound]. Of a recovery point all that it is read from is proven, and its image
// checked; what is found is not kept.
func (m *Manager) Verify(ctx context.Context, id string, level Level) (Backup, error) {
	var e Backup
	op := &operation{kind: OpVerify, backup: id, result: func() any { return e.Public() }}
	err := m.perform(ctx, op, func(ctx context.Context) (_ Event, err error) {
		if e, err = proof.Find(ctx, m.cat, id); err != nil {
			return Event{}, fmt.Errorf("verify: %w", err)
		}
		m.start(ctx, e.ID)
		level := max(level, integrity.LevelQuick)
		if e, err = proverOf(ctx, m, Event{Operation: OpVerify, Backup: e.ID}).Verify(ctx, e, level); err != nil {
			return Event{}, err
		}
		return Event{Type: EventVerified, Message: proof.Kind(e) + " verified: " + e.ID,
			more: Activity{Detail: "level " + level.String(), DatabaseBytes: e.DatabaseBytes}}, nil
	})
	return e.Public(), err
}

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
		e, err := proof.Find(ctx, m.cat, id)
		if err != nil {
			return Event{}, fmt.Errorf("drill: %w", err)
		}
		m.start(ctx, e.ID)
		if out, err = proverOf(ctx, m, Event{Operation: OpDrill, Backup: e.ID}).Drill(ctx, e); err != nil {
			return Event{}, err
		}
		return Event{Type: EventDrilled, Done: e.DatabaseBytes, Total: e.DatabaseBytes,
			Message: fmt.Sprintf("%s was restored on trial and checked in full in %d ms", proof.Named(e), out.DurationMS),
			more:    Activity{Detail: "restored on trial: " + out.Verdict, DatabaseBytes: e.DatabaseBytes, DurationMS: out.DurationMS}}, nil
	})
	return out, err
}

// proverOf proves backups in the operation of ctx; of says what its events have in common.
func proverOf(ctx context.Context, m *Manager, of Event) *proof.Prover {
	return &proof.Prover{Reporter: reporter{m, ctx, of}, Catalog: m.cat, Memory: m.mem, Workers: m.cfg.workers(), Now: m.now}
}

// provingAgain proves the stored backups again while a Run is at work.
func provingAgain(m *Manager) *proof.Again {
	return &proof.Again{Catalog: m.cat, Now: m.now,
		Found: func(ctx context.Context, e Backup, err error) {
			op := &operation{kind: OpVerify, backup: e.ID, lockFree: true}
			_ = m.perform(ctx, op, func(context.Context) (Event, error) { return Event{}, err })
		},
		Verify: func(ctx context.Context, id string) { _, _ = m.Verify(ctx, id, LevelQuick) }, // its events say how that ended
	}
}
