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
	"example.com/snapd/internal/sqlite"
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
		if e, err = find(ctx, m, id); err != nil {
			return Event{}, fmt.Errorf("verify: %w", err)
		}
		m.start(ctx, e.ID)
		level := max(level, integrity.LevelQuick)
		if e, err = m.verify(ctx, e, level); err != nil {
			return Event{}, err
		}
		return Event{Type: EventVerified, Message: kindOf(e) + " verified: " + e.ID,
			more: Activity{Detail: "level " + level.String(), DatabaseBytes: e.DatabaseBytes}}, nil
	})
	return e.Public(), err
}

// verify is Verify under the operation lock.
func (m *Manager) verify(ctx context.Context, e Backup, level integrity.Level) (Backup, error) {
	report, err := proven(e, func() (Report, error) { return m.prove(ctx, e, level) })
	if err != nil {
		return e, err
	}
	at := m.now()
	v := verdictOf(report, at)
	if report.Verdict == "" { // the image was judged before
		v = e.Verification
		v.At = &at
	}
	if isPoint(e) {
		e.Verification = v
	} else if err := m.remember(ctx, &e, v); err != nil {
		return e, err
	}
	if report.Damaged() {
		return e, &CorruptError{What: named(e), Report: report}
	}
	return e, nil
}

// proven carries out a proof of e, and again where it finds damage: a single read proves
// none. A backup that passes the second time is sound, and the error is not [ErrCorrupt].
func proven(e Backup, proof func() (Report, error)) (Report, error) {
	report, err := proof()
	if err != nil || !report.Damaged() {
		return report, err
	}
	return report, confirmed(&CorruptError{What: named(e), Report: report}, proof)
}

// confirmed carries out a proof after damage was found. It returns nil where the proof
// finds it too, else what is the matter: the backup is sound, or could not be read again.
func confirmed(damage error, proof func() (Report, error)) error {
	switch again, err := proof(); {
	case err != nil:
		return fmt.Errorf("%v; it could not be read again: %w", damage, err)
	case !again.Damaged():
		return hint(fmt.Errorf("%v; read again, the stored backup is sound and stays verified", damage),
			"the disk or the memory gave other bytes the first time: try again, and check the hardware")
	}
	return nil
}

// prove judges the stored backup e: its bytes against the catalog's digest, then the
// image inside, unless that was judged before: then a sound one gives the zero Report.
func (m *Manager) prove(ctx context.Context, e Backup, level Level) (Report, error) {
	read := m.progress(ctx, Event{Operation: OpVerify, Backup: e.ID, Phase: PhaseReadBack, Total: e.DatabaseBytes})
	r, err := open(ctx, m, e)
	if err != nil {
		return damagedReport(pathOf(m, e), level, err)
	}
	defer r.Close() // it was only read
	if own, ok := r.Image.(*archive.Reader); ok && judged(e, own.Info(), level) {
		if err := r.Verify(ctx, archive.CopyOptions{Workers: m.cfg.workers(), Progress: read}); err != nil {
			return damagedReport(m.cat.Path(e), level, fmt.Errorf("verify: %w", err))
		}
		return Report{}, nil
	}
	return integrity.CheckImage(ctx, r, pathOf(m, e), integrity.Options{Level: level, ScratchDir: m.cfg.Dir, Progress: func(done int64) {
		if read(done); done == r.Shape().Bytes() {
			m.progress(ctx, Event{Operation: OpVerify, Backup: e.ID, Phase: PhaseCheck})
		}
	}})
}

// judged reports whether the image with e's digest passed a check of this level as it
// was taken, and by the SQLite that this program has: another one's may look for more.
// What the archive says of that counts only where the catalog has the backup as
// verified, and at such a level: a rebuilt one has not, and the maker of an archive can
// have it say anything.
func judged(e Backup, i archive.Info, level integrity.Level) bool {
	said, err := integrity.ParseLevel(i.CheckLevel)
	seen, serr := integrity.ParseLevel(e.Verification.Level)
	return err == nil && serr == nil && e.Usable() && level <= min(said, seen) && i.SQLiteVersion == sqlite.Version()
}

// markFailed marks the backup failed where err proves it damaged, and its stored bytes
// read again do so too. It returns err.
func (m *Manager) markFailed(ctx context.Context, e Backup, err error) error {
	report, notProof := damagedReport(m.cat.Path(e), integrity.LevelQuick, err)
	if notProof != nil || errors.Is(err, archive.ErrVersion) {
		return err
	}
	doubt := confirmed(err, func() (Report, error) {
		r, err := m.cat.OpenArchive(e)
		if err == nil {
			err = errors.Join(r.Verify(ctx, archive.CopyOptions{Workers: m.cfg.workers()}), r.Close())
		}
		if err == nil {
			return Report{}, nil
		}
		return damagedReport(m.cat.Path(e), integrity.LevelQuick, err)
	})
	if doubt != nil {
		return doubt
	}
	return errors.Join(err, m.remember(ctx, &e, verdictOf(report, m.now())))
}

// damagedReport makes a verdict of an error that proves an archive damaged,
// and passes every other error on.
func damagedReport(path string, level integrity.Level, err error) (Report, error) {
	if !errors.Is(explain(err), ErrCorrupt) {
		return Report{}, err
	}
	at := integrity.LevelHeader
	return Report{Path: path, Verdict: integrity.Corrupt, Level: level, FailedAt: &at,
		Findings: []integrity.Finding{{Code: integrity.CodeArchive, Message: err.Error()}}}, nil
}

// remember keeps a verification in the catalog and in e, with what else follows from
// it, and moves the latest link. Where the directory cannot be written the result stands all the same.
func (m *Manager) remember(ctx context.Context, e *Backup, v catalog.Verification, also ...func(*catalog.State)) error {
	err := m.cat.Update(context.WithoutCancel(ctx), func(tx *catalogfile.Tx) error {
		now, err := tx.Get(e.ID)
		if err != nil {
			return err
		}
		now.Verification = v
		*e = now
		for _, change := range also {
			change(tx.State())
		}
		return tx.Put(now)
	})
	if err != nil {
		return fmt.Errorf("record verification: %w", err)
	}
	return m.cat.LinkLatest()
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
		e, err := find(ctx, m, id)
		if err != nil {
			return Event{}, fmt.Errorf("drill: %w", err)
		}
		m.start(ctx, e.ID)
		began := m.now()
		report, err := proven(e, func() (Report, error) { return m.rehearse(ctx, e) })
		if err != nil {
			return Event{}, err
		}
		now := m.now()
		done := DrillOutcome{ID: e.ID, At: now, Verdict: string(report.Verdict), DurationMS: max(1, now.Sub(began).Milliseconds())}
		drilled := func(s *catalog.State) { s.LastDrill = &done }
		if isPoint(e) {
			m.mem.Update("drill", drilled)
		} else if err := m.remember(ctx, &e, verdictOf(report, now), drilled); err != nil {
			return Event{}, err
		}
		if out = done; report.Damaged() {
			return Event{}, &CorruptError{What: named(e), Report: report}
		}
		return Event{Type: EventDrilled, Done: e.DatabaseBytes, Total: e.DatabaseBytes,
			Message: fmt.Sprintf("%s was restored on trial and checked in full in %d ms", named(e), out.DurationMS),
			more:    Activity{Detail: "restored on trial: " + out.Verdict, DatabaseBytes: e.DatabaseBytes, DurationMS: out.DurationMS}}, nil
	})
	return out, err
}

// rehearse restores e to a scratch file and judges it there.
func (m *Manager) rehearse(ctx context.Context, e Backup) (_ Report, err error) {
	meter := m.progress(ctx, Event{Operation: OpDrill, Backup: e.ID, Phase: PhaseUnpack, Total: e.DatabaseBytes})
	r, err := open(ctx, m, e)
	if err != nil {
		return damagedReport(pathOf(m, e), integrity.LevelFull, err)
	}
	defer r.Close() // it was only read
	if err := durable.Preflight(m.cfg.Dir, r.Shape().Bytes()); err != nil {
		return Report{}, fmt.Errorf("drill: %w", err)
	}
	scratch, err := durable.Scratch(m.cfg.Dir, "drill")
	if err != nil {
		return Report{}, fmt.Errorf("drill: %w", err)
	}
	defer func() {
		if cerr := scratch.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("drill: %w", cerr))
		}
	}()
	if err := r.Unpack(ctx, scratch, archive.CopyOptions{Workers: m.cfg.workers(), Progress: meter}); err != nil {
		return damagedReport(pathOf(m, e), integrity.LevelFull, fmt.Errorf("drill: %s: %w", named(e), err))
	}
	if err := durable.Sync(scratch.File); err != nil { // a restore would wait for that too
		return Report{}, fmt.Errorf("drill: %w", err)
	}
	m.atPoint("drill unpacked")
	m.progress(ctx, Event{Operation: OpDrill, Backup: e.ID, Phase: PhaseCheck})
	report, err := integrity.CheckCopy(ctx, scratch.Name(), integrity.Options{Level: integrity.LevelFull})
	report.Path = pathOf(m, e)
	return report, err
}
