package snapshot

import (
	"context"
	"fmt"
	"path/filepath"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/restore"
)

// A restore, under this package's name.
type (
	// Method is how a restore put the image in place.
	Method = restore.Method
	// RestoreResult says what a restore did: Restored is the backup's id, To the path that was written to, Method and
	// Reason how and why so. SafetyBackup is the id of the backup that undoes it, nil where nothing was replaced;
	// Quarantined is the path at which a damaged database was kept.
	RestoreResult = restore.Result
	// RestorePlan says what restoring Backup over the database would cost now: all changes since LosesSince, which is nil
	// where it is proven that there are none, and about EstimatedMS. With SafetyBackup the present state is saved as
	// a backup first; else there is none, or it is damaged and its files are kept whole. As
	// [RestoreOptions].Plan it binds the restore to that: what is no longer so is
	// [ErrStale], and nothing is touched. It is a value that may be kept for a while.
	RestorePlan = restore.Plan
)

const (
	Online = restore.Online // one write transaction, concurrently with open connections
	Swap   = restore.Swap   // a proven file renamed over the database
	File   = restore.File   // written to another path
)

// RestoreOptions of [Manager.Restore]. The zero value restores over the
// database, online where possible.
type RestoreOptions struct {
	// To writes the image to this path instead; the database is not touched.
	To string
	// Overwrite lets To replace an existing file.
	Overwrite bool
	// Offline demands the swap of the file even where the restore could go
	// through a transaction. It is refused while a process has the database open.
	Offline bool
	// Plan, when not nil, lets the restore over the database go ahead only while that
	// plan holds; see [Manager.PlanRestore] and [ErrStale].
	Plan *RestorePlan
}

// Restore puts the image of a backup, or of a recovery point, in place. The backup is proven first; of
// a point each page that is written, and that all of them are the point's. Over
// the database it goes through one write transaction that writes the pages that
// differ from the state that the safety backup has, so that open connections of any
// process stay good and no acknowledged commit is lost; readers see the old
// state until it commits. The safety backup is made and proven before the transaction
// begins; if a writer commits meanwhile, it is made again inside. Where the database is
// missing, damaged or has another page size, and with Offline, a proven file is swapped in
// under an exclusive lock, and the damaged one is kept in the backup directory. The result
// says which of the two was done, and why. Either way the database ends old or new,
// whenever the process dies.
//
// Errors: [ErrNotFound], [ErrCorrupt] (the backup fails its proof), [ErrBusy]
// (another connection holds the database; nothing changed), [ErrNoSpace], [ErrRefused].
func (m *Manager) Restore(ctx context.Context, id string, o RestoreOptions) (RestoreResult, error) {
	var done RestoreResult
	op := &operation{kind: OpRestore, result: func() any { return done }}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		e, err := proof.Find(ctx, m.cat, id)
		if err != nil {
			return Event{}, fmt.Errorf("restore: %w", err)
		}
		m.start(ctx, e.ID)
		if o.To != "" && o.Plan != nil {
			return Event{}, hint(fmt.Errorf("restore to %s: %w: the plan is for a restore over the database", o.To, ErrRefused), "leave out the plan, or the path")
		}
		r := restorerOf(ctx, m, e.ID)
		r.Began = op.began
		if err := r.Holds(o.Plan, e); err != nil {
			return Event{}, err
		}
		if e.Verification.State != catalog.Verified {
			if e, err = proverOf(ctx, m, Event{Operation: OpVerify, Backup: e.ID}).Verify(ctx, e, integrity.LevelQuick); err != nil {
				return Event{}, err
			}
		}
		done, err = r.Run(ctx, e, restore.Options(o))
		reportQuarantined(ctx, m, OpRestore, done.Quarantined)
		if err != nil {
			op.changed = done.SafetyBackup != nil || done.Quarantined != ""
			return Event{}, err
		}
		message := fmt.Sprintf("database restored from %s (%s)", proof.Named(e), done.Method)
		if done.Method == Swap {
			message = fmt.Sprintf("database restored from %s (%s: %s)", proof.Named(e), done.Method, done.Reason)
		}
		return Event{Type: EventRestored, Path: done.To, Message: message, Reason: done.Reason, more: restoreActivity(done)}, nil
	})
	if err != nil {
		return RestoreResult{}, err
	}
	return done, nil
}

// PlanRestore says what restoring the backup would cost, and whether it can be undone.
// It changes nothing. Errors: [ErrNotFound], [ErrCorrupt] for a backup that failed
// its proof, [ErrNoSpace] where the present state could not be saved first, [ErrBusy]
// or *integrity.CheckError where the database could not be looked at.
func (m *Manager) PlanRestore(ctx context.Context, id string) (p RestorePlan, err error) {
	e, err := proof.Find(ctx, m.cat, id)
	if err == nil {
		p, err = restorerOf(ctx, m, e.ID).PlanFor(ctx, e)
	}
	if err != nil {
		return RestorePlan{}, explain(fmt.Errorf("plan restore: %w", err))
	}
	return p, nil
}

// PlanHolds returns [ErrStale] where p is no longer true. A restore asks that again,
// when nothing can change any more.
func (m *Manager) PlanHolds(p RestorePlan) error {
	ctx := context.Background()
	e, err := proof.Find(ctx, m.cat, p.Backup.ID)
	if err != nil {
		return explain(fmt.Errorf("restore: %w", err))
	}
	return explain(restorerOf(ctx, m, e.ID).Holds(&p, e))
}

// Replaced is what an undo puts back: the backup of the state before the last restore. Where that brought rows back, Rows says which,
// and [Manager.RestoreRows] with Undo reverses it; else restoring the backup does.
type Replaced struct {
	Backup
	Rows *RowsOutcome // nil for a restore of the whole database
}

// Replaced returns what an undo puts back. That is saved with a backup of what it replaces in its turn, so undoing twice is no undo.
//
// Errors: [ErrNotFound] where nothing was restored yet, there was no database before, or its backup is
// gone; [ErrRefused] where the database was damaged: there is no going back to that, and the error names
// the file that was kept and says what can be had from it.
func (m *Manager) Replaced() (Replaced, error) {
	state, err := m.cat.State()
	if err != nil {
		return Replaced{}, fmt.Errorf("undo: %w", explain(err))
	}
	last, recovered, rows := state.LastRestore, state.LastRecovery(), state.UndoRows()
	if rows != nil {
		last, recovered = &catalog.RestoreOutcome{At: rows.At, Safety: rows.Safety}, nil
	}
	var kept string
	switch {
	case recovered != nil && (last == nil || recovered.At.After(last.At)):
		kept = recovered.Kept
	case last == nil:
		return Replaced{}, hint(fmt.Errorf("undo: %w: no restore has replaced this database", ErrNotFound), "restore puts a backup in its place; list shows what there is")
	case last.Safety != "":
		b, err := m.cat.Get(last.Safety)
		if err != nil {
			return Replaced{}, hint(fmt.Errorf("undo: the backup of what the last restore replaced is gone: %w", err), "list shows the backups that there are")
		}
		return Replaced{b.Public(), rows}, nil
	default:
		kept = last.Kept
	}
	if kept == "" {
		return Replaced{}, hint(fmt.Errorf("undo: %w: there was no database before the last restore", ErrNotFound), "list shows the backups that there are")
	}
	kept = filepath.Join(m.cfg.Dir, kept)
	return Replaced{}, hint(fmt.Errorf("undo: %w: what was replaced was damaged, and is kept as %s", ErrRefused, kept),
		"snapd salvage "+kept+" --to FILE brings out every row that can still be read; restore puts a backup in the database's place")
}

// restoreActivity is what the log says of a restore in addition to the event.
func restoreActivity(r RestoreResult) Activity {
	a := Activity{Detail: "over the database; nothing was there to be saved", DurationMS: r.DurationMS}
	switch {
	case r.Method == File:
		a.Detail = "to " + r.To
	case r.SafetyBackup != nil:
		a.Detail = "over the database; undo by restoring " + *r.SafetyBackup
	case r.Quarantined != "":
		a.Detail = "over the database; its files are kept as " + filepath.Base(r.Quarantined)
	}
	if r.Method == Swap {
		a.Detail += "; the file was replaced: " + r.Reason
	}
	return a
}
