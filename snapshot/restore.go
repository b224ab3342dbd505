package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/swap"
)

// Method is how a restore put the image in place.
type Method string

const (
	Online Method = "online" // one write transaction, concurrently with open connections
	Swap   Method = "swap"   // a proven file renamed over the database
	File   Method = "file"   // written to another path
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

// RestoreResult says what a restore did.
type RestoreResult struct {
	Restored     string  `json:"restored"`
	To           string  `json:"to"`
	Method       Method  `json:"method"`
	Reason       string  `json:"reason"`        // for the method
	SafetyBackup *string `json:"safety_backup"` // restore it to undo; null where nothing was replaced
	Quarantined  string  `json:"-"`             // where a damaged database was preserved
	DurationMS   int64   `json:"duration_ms"`
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
	r := &restoring{replacing: replacing{m, OpRestore, m.now()}, RestoreOptions: o}
	op := &operation{kind: OpRestore, result: func() any { return r.res }}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		if err := r.run(ctx, id); err != nil {
			return Event{}, err
		}
		r.res.DurationMS = r.took()
		message := fmt.Sprintf("database restored from %s (%s)", r.res.Restored, r.res.Method)
		if r.res.Method == Swap {
			message = fmt.Sprintf("database restored from %s (%s: %s)", r.res.Restored, r.res.Method, r.res.Reason)
		}
		return Event{Type: EventRestored, Path: r.res.To, Message: message, Reason: r.res.Reason, more: r.res.activity()}, nil
	})
	if err != nil {
		return RestoreResult{}, err
	}
	return r.res, nil
}

// nameOf is the file name of a path, "" of none.
func nameOf(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}

// Replaced returns the backup of what the last restore over the database replaced: restoring it undoes
// that restore. It does so with a backup of what it replaces in its turn, so undoing twice is no undo.
//
// Errors: [ErrNotFound] where nothing was restored yet, there was no database before, or its backup is
// gone; [ErrRefused] where the database was damaged: there is no going back to that, and the error names
// the file that was kept and says what can be had from it.
func (m *Manager) Replaced() (Backup, error) {
	state, err := m.cat.State()
	if err != nil {
		return Backup{}, fmt.Errorf("undo: %w", explain(err))
	}
	last, recovered := state.LastRestore, state.LastRecovery()
	var kept string
	switch {
	case recovered != nil && (last == nil || recovered.At.After(last.At)):
		kept = recovered.Kept
	case last == nil:
		return Backup{}, hint(fmt.Errorf("undo: %w: no restore has replaced this database", ErrNotFound), "restore puts a backup in its place; list shows what there is")
	case last.Safety != "":
		b, err := m.cat.Get(last.Safety)
		if err != nil {
			return Backup{}, hint(fmt.Errorf("undo: the backup of what the last restore replaced is gone: %w", err), "list shows the backups that there are")
		}
		return b.Public(), nil
	default:
		kept = last.Kept
	}
	if kept == "" {
		return Backup{}, hint(fmt.Errorf("undo: %w: there was no database before the last restore", ErrNotFound), "list shows the backups that there are")
	}
	kept = filepath.Join(m.cfg.Dir, kept)
	return Backup{}, hint(fmt.Errorf("undo: %w: what was replaced was damaged, and is kept as %s", ErrRefused, kept),
		"snapd salvage "+kept+" --to FILE brings out every row that can still be read; restore puts a backup in the database's place")
}

// activity is what the log says of it in addition to the event.
func (r *RestoreResult) activity() Activity {
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

// restoring is one restore on its way from an id to its result.
type restoring struct {
	replacing
	RestoreOptions
	backup Backup // or what describes the recovery point
	image  opened // of it
	res    RestoreResult
}

// run finds and proves what is to be restored, and carries it out.
func (r *restoring) run(ctx context.Context, id string) (err error) {
	m := r.m
	if r.backup, err = find(ctx, m, id); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.res.Restored = r.backup.ID
	m.start(ctx, r.backup.ID)
	if r.To != "" && r.Plan != nil {
		return hint(fmt.Errorf("restore to %s: %w: the plan is for a restore over the database", r.To, ErrRefused), "leave out the plan, or the path")
	}
	if err := m.holds(r.Plan, r.backup); err != nil {
		return err
	}
	// The digests of the stored bytes are proven again while they are read.
	if r.backup.Verification.State != catalog.Verified {
		if r.backup, err = m.verify(ctx, r.backup, integrity.LevelQuick); err != nil {
			return err
		}
	}
	for damaged := error(nil); ; {
		err := r.carryOut(ctx)
		if damaged != nil && errors.Is(err, ErrNotFound) {
			return damaged // there was no other base
		}
		if !isPoint(r.backup) || r.image.base.ID == "" || !errors.Is(err, archive.ErrDamaged) {
			return err
		}
		base, errGet := m.cat.Get(r.image.base.ID)
		if errGet != nil || base.Usable() {
			return errors.Join(err, errGet)
		}
		// It was marked failed, nothing was changed, and there may be an older base.
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: OpRestore, Backup: base.ID, Err: err,
			Message: fmt.Sprintf("backup %s, from which recovery point %s was read, is damaged; trying an older one", base.ID, r.backup.ID)})
		damaged = err
	}
}

// carryOut opens the image, chooses a strategy, and does it. The online one may find that only a swap will do.
func (r *restoring) carryOut(ctx context.Context) (err error) {
	m := r.m
	if r.image, err = openProven(ctx, m, OpRestore, r.backup); err != nil {
		return err
	}
	defer r.image.Close()
	how, err := r.choose(ctx)
	if err != nil {
		return err
	}
	r.res.To = m.cfg.Database
	switch how.method {
	case File:
		r.res.To = r.To
		err = r.toFile(ctx)
	case Online:
		err = r.online(ctx)
		var needed *swapNeeded
		if errors.As(err, &needed) {
			how, err = strategy{Swap, needed.reason}, nil
		}
	}
	r.res.Method, r.res.Reason = how.method, how.reason
	if how.method != Swap || err != nil {
		return err
	}
	err = r.swap(ctx)
	var inUse *swap.InUseError
	switch {
	case err != nil && !r.Offline:
		err = fmt.Errorf("%w (the file has to be replaced: %s)", err, how.reason)
	case errors.As(err, &inUse): // else another page size, say, asks for the swap
		err = hint(err, inUse.Hint()+"; without --offline a restore works next to open connections where the database is sound")
	}
	return err
}

// strategy is how a restore puts the image in place, and why so.
type strategy struct {
	method Method
	reason string
}

// choose decides from the facts that are known before the database is opened.
func (r *restoring) choose(ctx context.Context) (strategy, error) {
	if r.To != "" {
		return strategy{File, "another path was asked for"}, nil
	}
	if r.Offline {
		return strategy{Swap, "asked for (--offline)"}, nil
	}
	st, err := os.Stat(r.m.cfg.Database)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return strategy{Swap, "there is no database"}, nil
	case err != nil:
		return strategy{}, fmt.Errorf("restore: %w", err)
	case st.Size() == 0:
		return strategy{Swap, "the database is an empty file"}, nil
	case r.backup.DatabaseBytes == 0:
		return strategy{Swap, "the backup is of an empty file"}, nil
	}
	// A damaged database must be kept whole, which only a swap does.
	if err := r.m.damagedFiles(ctx); isDamage(err) {
		return strategy{Swap, damageReason(err)}, nil
	} else if err != nil {
		return strategy{}, fmt.Errorf("restore: %w", err)
	}
	damaged, err := damagedByJournal(ctx, r.m)
	if err != nil {
		return strategy{}, fmt.Errorf("restore: %w", err)
	}
	if damaged {
		return strategy{Swap, "the database is damaged: so it is after the rollback of the journal next to it"}, nil
	}
	return strategy{Online, "open connections stay valid"}, nil
}

// swapNeeded: the database cannot be restored through a transaction. Nothing was changed.
type swapNeeded struct{ reason string }

func (e *swapNeeded) Error() string { return "the file has to be replaced: " + e.reason }

// orSwap returns a swapNeeded where err says that the database cannot be restored through
// a transaction, else err.
func orSwap(err error) error {
	switch {
	case errors.Is(err, livedb.ErrMissing):
		return &swapNeeded{"there is no database"}
	case isDamage(err): // it must be kept whole, which only a swap does
		return &swapNeeded{damageReason(err)}
	}
	return err
}

// isDamage reports whether err says that the live database is damaged.
func isDamage(err error) bool {
	var damaged *CorruptError
	return errors.As(err, &damaged) || errors.Is(err, livedb.ErrCorrupt) || errors.Is(err, livedb.ErrNotDatabase)
}

// damageReason is the reason for a swap of a database that err proves damaged.
func damageReason(err error) string {
	var proven *CorruptError
	if errors.As(err, &proven) && len(proven.Report.Findings) > 0 {
		return "the database is damaged: " + proven.Report.Findings[0].Message
	}
	var found *sqlite.Error
	if errors.As(err, &found) {
		return "the database is damaged: " + found.Msg
	}
	return "the database is damaged"
}

// damagedByJournal reports whether a journal is next to the database whose rollback,
// which SQLite makes with the first opening for writing, leaves a damaged one: it may
// be another database's. A journal whose owner holds a lock is no such journal.
func damagedByJournal(ctx context.Context, m *Manager) (bool, error) {
	files, err := livedb.Look(m.cfg.Database)
	if errors.Is(err, livedb.ErrMissing) {
		return false, nil
	} else if err != nil || !files.HotJournal() {
		return false, err
	}
	report, err := m.look(ctx, integrity.LevelQuick, min(m.cfg.LockWait, statusPatience))
	if errors.Is(explain(err), ErrBusy) {
		return false, nil
	}
	return err == nil && report.Damaged(), err
}

// toFile writes the image to a path that is not the database.
func (r *restoring) toFile(ctx context.Context) error {
	target, err := livedb.Resolve(r.To)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", r.To, err)
	}
	if err := swap.AcceptOther(r.m.cfg.Database, r.m.cfg.Dir, target, r.Overwrite); err != nil {
		return fmt.Errorf("restore to %s: %w", r.To, err)
	}
	f, err := r.unpack(ctx, r.image, r.backup, target)
	if err != nil {
		return r.image.failed(ctx, r.m, err)
	}
	defer f.Discard()
	commit := f.CommitNew
	if r.Overwrite {
		commit = f.Commit
	}
	if err := commit(); err != nil {
		return fmt.Errorf("restore to %s: %w", r.To, err)
	}
	return nil
}

// pointBase is the id of the backup that a recovery point is read from, "" for a backup.
func (r *restoring) pointBase() string {
	if !isPoint(r.backup) {
		return ""
	}
	return r.image.base.ID
}

// outcome is what the catalog keeps of the restore.
func (r *restoring) outcome() catalog.RestoreOutcome {
	o := catalog.RestoreOutcome{ID: r.res.Restored, Action: string(OpRestore), DurationMS: r.took(), Kept: nameOf(r.res.Quarantined)}
	if r.res.SafetyBackup != nil {
		o.Safety = *r.res.SafetyBackup
	}
	o.Base = r.pointBase()
	return o
}
