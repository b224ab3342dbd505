package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/swap"
)

// Action is what Recover did.
type Action string

const (
	ActionNone     Action = "none"     // the database is usable, or there is nothing to restore
	ActionRestored Action = "restored" // a backup took the damaged or missing database's place
	ActionRepaired Action = "repaired" // the database was mended from what it holds itself, no backup was needed
	ActionWaiting  Action = "waiting"  // damaged, but somebody has it open: nothing was touched
)

// Recovery is the outcome of [Manager.Recover].
type Recovery struct {
	Action      Action            `json:"action"`
	Verdict     integrity.Verdict `json:"verdict"`
	Restored    *string           `json:"restored"`    // backup id
	Quarantined *string           `json:"quarantined"` // absolute path of the preserved database
	// Mended says what a repair did; nil after any other action.
	Mended *integrity.Mending `json:"mended,omitempty"`
	Report Report             `json:"-"`
	// LosesSince is when the restored backup was taken: what was committed
	// after that is only in the quarantined file.
	LosesSince time.Time `json:"-"`

	began time.Time
}

// Recover is the start-up decision: it checks the database, and acts only if that
// proves it corrupt, or it is missing while usable backups exist. Where the damage is
// confined to what can be made anew from sound tables, or to the end of the log, it
// mends a copy and swaps that in; else, or where that would lose more, it restores the
// newest backup that passes its proof. The damaged file is kept whole with its report.
// Call it before the application opens the database.
//
// A check that could not be made (locked, no permission, an I/O error, out of
// time) is an error, and nothing is touched. Errors: [ErrBusy], [ErrMissing]
// (with OnMissing fail), [ErrNoUsableBackup], *integrity.CheckError.
func (m *Manager) Recover(ctx context.Context) (Recovery, error) {
	unlock, err := m.operate(ctx, "recover")
	if err != nil {
		return Recovery{}, m.failed(ctx, "recover", "", explain(err))
	}
	defer unlock()
	m.begun(ctx, "recover", "")
	rec, err := m.recover(ctx)
	if errors.Is(err, swap.ErrChanged) {
		err = hint(&sentinelError{ErrBusy, err}, "stop whatever writes to the database, then try again")
	}
	if err != nil {
		if err = explain(err); errors.Is(err, ErrBusy) && rec.Verdict != "" {
			rec.Action = ActionWaiting
		}
		return rec, m.failed(ctx, "recover", "", err)
	}
	if rec.Action == ActionNone {
		m.ended(ctx, "recover", "")
	}
	return rec, nil
}

func (m *Manager) recover(ctx context.Context) (Recovery, error) {
	// Taken before the check: what is replaced later is what was judged.
	still, err := takeToken(m.cfg.Database)
	if err != nil {
		return Recovery{}, fmt.Errorf("recover: %w", err)
	}
	began := m.now()
	report, err := integrity.Check(ctx, m.cfg.Database, integrity.Options{Level: integrity.LevelQuick,
		ScratchDir: m.cfg.Dir, LockWait: m.cfg.LockWait})
	if err != nil {
		return Recovery{}, err
	}
	m.rememberCheck(report)
	rec := Recovery{Action: ActionNone, Verdict: report.Verdict, Report: report, began: began}
	switch report.Verdict {
	case integrity.Healthy:
		m.tellCheck(ctx, report, m.now().Sub(began))
		return rec, nil
	case integrity.Violations:
		m.tellCheck(ctx, report, m.now().Sub(began))
		for _, f := range report.Findings {
			m.ev.emit(ctx, Event{Type: EventWarning, Operation: "check", Path: m.cfg.Database, Message: "the application's rules are broken: " + f.Message})
		}
		return rec, nil
	case integrity.Missing, integrity.Empty:
		return rec, m.recoverMissing(ctx, still, &rec)
	}
	m.tellCheck(ctx, report, m.now().Sub(began))
	return rec, m.recoverDamaged(ctx, still, &rec)
}

// recoverMissing handles a database that is not there or has no bytes.
func (m *Manager) recoverMissing(ctx context.Context, still stateToken, rec *Recovery) error {
	usable, err := m.candidates()
	if err != nil {
		return err
	}
	if len(usable) == 0 || m.cfg.OnMissing == MissingIgnore {
		if err := m.keepOrphans(ctx, rec); err != nil {
			return err
		}
		m.ev.emit(ctx, Event{Type: EventChecked, Operation: "check", Path: m.cfg.Database,
			Message: "there is no database yet; the application will create it"})
		return nil
	}
	if m.cfg.OnMissing == MissingFail {
		return hint(fmt.Errorf("recover: %w: %s, while %d backups exist", ErrMissing, m.cfg.Database, len(usable)),
			"restore one of them, or start once with on-missing=ignore to begin with a new database")
	}
	return m.restoreFirst(ctx, usable, swap.Swap{Preserve: m.target(ctx).HasSidecars(), Unchanged: still.Matches}, rec)
}

// keepOrphans copies a log or journal whose database is gone or empty: SQLite
// deletes it when the application creates the database anew.
func (m *Manager) keepOrphans(ctx context.Context, rec *Recovery) error {
	kept, err := m.target(ctx).KeepOrphans(ctx)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if kept != "" {
		rec.Quarantined = &kept
		m.reportQuarantined(ctx, "recover", kept)
	}
	return nil
}

// recoverDamaged handles a database that is proven corrupt.
func (m *Manager) recoverDamaged(ctx context.Context, still stateToken, rec *Recovery) error {
	usable, err := m.candidates()
	if err != nil {
		return err
	}
	if done, err := m.repair(ctx, still, usable, rec); done || err != nil {
		return err
	}
	damaged := &CorruptError{What: "database " + m.cfg.Database, Report: rec.Report}
	if len(usable) == 0 {
		return hint(fmt.Errorf("recover: %w: %w; the damaged file was left as it is", ErrNoUsableBackup, damaged),
			"look for backups elsewhere, or try the sqlite3 shell's .recover on a copy of the file")
	}
	return m.restoreFirst(ctx, usable, swap.Swap{Preserve: true, Unchanged: still.Matches}, rec)
}

// candidates returns the backups that recovery may try, newest first; before
// them the one restored last, where nothing was backed up since. Backups
// whose proof failed are out; those not yet proven (after a rebuild) are in,
// because recovery proves each itself. An image without pages restores nothing.
func (m *Manager) candidates() ([]Backup, error) {
	all, err := m.cat.Entries()
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	state, err := m.cat.State()
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	var usable []Backup
	for _, e := range all {
		if e.Verification.State != catalog.Failed && e.DatabaseBytes > 0 {
			usable = append(usable, e)
		}
	}
	if m.nothingSince(state) {
		if i := slices.IndexFunc(usable, func(e Backup) bool { return e.ID == state.LastRestore.ID }); i > 0 {
			restored := usable[i]
			usable = slices.Insert(slices.Delete(usable, i, i+1), 0, restored)
		}
	}
	return usable, nil
}

// restoreFirst puts the first candidate that passes its proof in place.
func (m *Manager) restoreFirst(ctx context.Context, usable []Backup, s swap.Swap, rec *Recovery) error {
	if err := m.target(ctx).WaitUnused(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, e := range usable {
		f, err := m.prepare(ctx, e)
		if err != nil {
			if !errors.Is(explain(err), ErrCorrupt) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrVersion) {
				return fmt.Errorf("recover: %w", err)
			}
			m.ev.emit(ctx, Event{Type: EventWarning, Operation: "recover", Backup: e.ID, Err: err, Message: "this backup cannot be used; trying the next older"})
			continue
		}
		s.Staged, s.Sum = f, e.ImageBLAKE3
		m.atPoint("unpacked")
		return m.putBack(ctx, s, e, rec)
	}
	return hint(fmt.Errorf("recover: %w: none of %d backups passed its proof; the database was left as it is", ErrNoUsableBackup, len(usable)),
		"run verify --all to see why, and look for copies of the backups elsewhere")
}

// prepare unpacks e beside the database and proves the image: its digests, and
// quick_check. A backup that fails is marked in the catalog.
func (m *Manager) prepare(ctx context.Context, e Backup) (_ *durable.File, err error) {
	r, err := m.openArchive(e)
	if err != nil {
		return nil, m.condemn(ctx, e, err)
	}
	defer r.Close()
	f, err := m.unpack(ctx, r, e, m.cfg.Database, 0o600)
	if err != nil {
		return nil, m.condemn(ctx, e, err)
	}
	report, err := integrity.CheckCopy(ctx, f.Name(), integrity.Options{Level: integrity.LevelQuick})
	if err == nil {
		err = m.remember(ctx, &e, verdictOf(report, m.now()))
	}
	if err == nil && report.Damaged() {
		err = &CorruptError{What: "backup " + e.ID, Report: report}
	}
	if err != nil {
		return nil, errors.Join(err, f.Discard())
	}
	return f, nil
}

// condemn marks e failed where err proves it damaged, and returns err.
func (m *Manager) condemn(ctx context.Context, e Backup, err error) error {
	report, notProof := damagedReport(filepath.Join(m.cfg.Dir, e.File), integrity.LevelQuick, err)
	if notProof != nil || errors.Is(err, archive.ErrVersion) {
		return err
	}
	return errors.Join(err, m.remember(ctx, &e, verdictOf(report, m.now())))
}

// putBack swaps the proven image of e in and tells what happened.
func (m *Manager) putBack(ctx context.Context, s swap.Swap, e Backup, rec *Recovery) error {
	defer s.Staged.Discard()
	s.Report, s.Note = rec.Report, swap.Note{Backup: e.ID, Operation: "recover"}
	s.Committing = func() { m.committing(ctx, "recover", e.ID) }
	done, err := m.target(ctx).Run(ctx, s)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	m.rememberRestore(catalog.RestoreOutcome{ID: e.ID, Action: "recover", DurationMS: m.since(rec.began)})
	rec.Action, rec.Restored, rec.LosesSince = ActionRestored, &e.ID, e.CreatedAt
	if done.Kept != "" {
		rec.Quarantined = &done.Kept
	}
	m.reportQuarantined(ctx, "recover", done.Kept)
	if err := m.checkRestored(ctx, e); err != nil {
		return err
	}
	m.ev.emit(ctx, Event{Type: EventRestored, Operation: "recover", Backup: e.ID, Path: m.cfg.Database,
		Message: fmt.Sprintf("database recovered from %s, taken %s", e.ID, e.CreatedAt.UTC().Format(time.RFC3339))})
	return nil
}
