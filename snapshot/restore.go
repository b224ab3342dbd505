package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
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
	// through a transaction. It is refused while somebody has the database open.
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

	began time.Time
}

// Restore puts the backup's image in place. The backup is proven first. Over
// the database it goes through one write transaction that writes the pages that
// differ from the state that the safety backup has, so that open connections of any
// process stay good and no acknowledged commit is lost; readers see the old
// state until it commits. The safety backup is made and proven before the transaction
// begins; if somebody commits meanwhile, it is made again inside. Where the database is
// missing, damaged or has another page size, and with Offline, a proven file is swapped in
// under an exclusive lock, and the damaged one is kept in the backup directory. The result
// says which of the two was done, and why. Either way the database ends old or new,
// whenever the process dies.
//
// Errors: [ErrNotFound], [ErrCorrupt] (the backup fails its proof), [ErrBusy]
// (somebody holds the database; nothing changed), [ErrNoSpace], [ErrRefused].
func (m *Manager) Restore(ctx context.Context, id string, o RestoreOptions) (RestoreResult, error) {
	var res RestoreResult
	op := &operation{kind: OpRestore, result: func() any { return res }}
	err := m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		res.began = m.now()
		if err := m.restore(ctx, id, o, &res); err != nil {
			return Event{}, err
		}
		res.DurationMS = m.since(res.began)
		message := fmt.Sprintf("database restored from %s (%s)", res.Restored, res.Method)
		if res.Method == Swap {
			message = fmt.Sprintf("database restored from %s (%s: %s)", res.Restored, res.Method, res.Reason)
		}
		return Event{Type: EventRestored, Path: res.To, Message: message, Reason: res.Reason, more: res.activity()}, nil
	})
	if err != nil {
		return RestoreResult{}, err
	}
	return res, nil
}

// since is how many milliseconds have passed since then, at least 1.
func (m *Manager) since(then time.Time) int64 { return max(1, m.now().Sub(then).Milliseconds()) }

// outcome is what the catalog keeps of it.
func (r *RestoreResult) outcome(m *Manager) catalog.RestoreOutcome {
	o := catalog.RestoreOutcome{ID: r.Restored, Action: "restore", DurationMS: m.since(r.began)}
	if r.SafetyBackup != nil {
		o.Safety = *r.SafetyBackup
	}
	return o
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

func (m *Manager) restore(ctx context.Context, id string, o RestoreOptions, res *RestoreResult) error {
	e, err := m.cat.Get(id)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	res.Restored = e.ID
	m.start(ctx, e.ID)
	if o.To != "" && o.Plan != nil {
		return hint(fmt.Errorf("restore to %s: %w: the plan is for a restore over the database", o.To, ErrRefused), "leave out the plan, or the path")
	}
	if err := m.holds(o.Plan, e); err != nil {
		return err
	}
	if e, err = m.provenEntry(ctx, e); err != nil {
		return err
	}
	r, err := m.openArchive(e)
	if err != nil {
		return m.condemn(ctx, e, err)
	}
	defer r.Close()
	how, err := m.chooseRestore(ctx, e, o)
	if err != nil {
		return err
	}
	res.To = m.cfg.Database
	switch how.method {
	case File:
		res.To = o.To
		err = m.restoreFile(ctx, r, e, o)
	case Online:
		how, err = m.restoreOnline(ctx, r, e, o.Plan, how, res)
	}
	res.Method, res.Reason = how.method, how.reason
	if how.method != Swap || err != nil {
		return err
	}
	if err = m.restoreSwap(ctx, r, e, o.Plan, res); err != nil && !o.Offline {
		err = fmt.Errorf("%w (the file has to be replaced: %s)", err, how.reason)
	}
	return err
}

// strategy is how a restore puts the image in place, and why so.
type strategy struct {
	method Method
	reason string
}

// chooseRestore decides how e is restored, by what can be known before the database is
// opened. See restoreOnline for what is found out later.
func (m *Manager) chooseRestore(ctx context.Context, e Backup, o RestoreOptions) (strategy, error) {
	if o.To != "" {
		return strategy{File, "another path was asked for"}, nil
	}
	if o.Offline {
		return strategy{Swap, "asked for (--offline)"}, nil
	}
	st, err := os.Stat(m.cfg.Database)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return strategy{Swap, "there is no database"}, nil
	case err != nil:
		return strategy{}, fmt.Errorf("restore: %w", err)
	case st.Size() == 0:
		return strategy{Swap, "the database is an empty file"}, nil
	case e.DatabaseBytes == 0:
		return strategy{Swap, "the backup is of an empty file"}, nil
	}
	// A damaged database must be kept whole, which only a swap does.
	if err := m.damagedFiles(ctx); err != nil {
		return strategy{Swap, damageReason(err)}, nil
	}
	if m.damagedByJournal(ctx) {
		return strategy{Swap, "the database is damaged: so it is after the rollback of the journal next to it"}, nil
	}
	return strategy{Online, "open connections stay valid"}, nil
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

// provenEntry makes sure that the image inside e passed quick_check. The
// digests of the stored bytes are proven again while they are read.
func (m *Manager) provenEntry(ctx context.Context, e Backup) (Backup, error) {
	if e.Verification.State == catalog.Verified {
		return e, nil
	}
	return m.verify(ctx, e, integrity.LevelQuick)
}

// restoreFile writes the image to a path that is not the database.
func (m *Manager) restoreFile(ctx context.Context, r *archive.Reader, e Backup, o RestoreOptions) error {
	target, err := livedb.Resolve(o.To)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", o.To, err)
	}
	if err := m.acceptTarget(target, o); err != nil {
		return err
	}
	f, err := m.unpack(ctx, r, e, target, 0o600)
	if err != nil {
		return m.condemn(ctx, e, err)
	}
	defer f.Discard()
	commit := f.CommitNew
	if o.Overwrite {
		commit = f.Commit
	}
	if err := commit(); err != nil {
		return fmt.Errorf("restore to %s: %w", o.To, err)
	}
	return nil
}

// acceptTarget refuses to write over what might be needed, and next to sidecars
// that SQLite would replay onto the restored file.
func (m *Manager) acceptTarget(target string, o RestoreOptions) error {
	if target == m.cfg.Database {
		return hint(fmt.Errorf("restore to %s: %w: that is the database itself", o.To, ErrRefused), "leave --to out to restore over the database")
	}
	if swap.IsSidecar(m.cfg.Database, target) {
		return hint(fmt.Errorf("restore to %s: %w: SQLite would take it for a part of the database", o.To, ErrRefused), "choose another path")
	}
	if dir, err := livedb.Resolve(m.cfg.Dir); err == nil && dir == filepath.Dir(target) {
		return hint(fmt.Errorf("restore to %s: %w: the backup directory is for backups only", o.To, ErrRefused), "choose another directory")
	}
	st, err := os.Stat(target)
	switch {
	case err == nil && !st.Mode().IsRegular():
		return hint(fmt.Errorf("restore to %s: %w: it exists and is no regular file", o.To, ErrRefused), "name a file that does not exist yet")
	case err == nil && !o.Overwrite:
		return hint(fmt.Errorf("restore to %s: %w: the file exists", o.To, ErrRefused), "name a file that does not exist")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("restore to %s: %w", o.To, err)
	}
	if side := livedb.Sidecars(target); len(side) > 0 {
		return hint(fmt.Errorf("restore to %s: %w: %s would be replayed onto the restored file", o.To, ErrRefused, side[0]),
			"remove or rename it, or choose another path")
	}
	return nil
}

// unpack writes the image of r to a temp file made for target and proves its
// digests on the way. The file is not synced yet.
func (m *Manager) unpack(ctx context.Context, r *archive.Reader, e Backup, target string, perm fs.FileMode) (_ *durable.File, err error) {
	info := r.Info()
	if err := durable.Preflight(filepath.Dir(target), info.ImageBytes); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	f, err := durable.Create(target, perm)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Discard())
		}
	}()
	p := m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: "unpack", Total: info.ImageBytes})
	if err := r.CopyTo(ctx, f, archive.CopyOptions{Workers: m.allWorkers(), Progress: p}); err != nil {
		return nil, fmt.Errorf("restore: backup %s: %w", e.ID, err)
	}
	return f, nil
}

// isDamage reports whether err says that the live database is damaged.
func isDamage(err error) bool {
	var damaged *CorruptError
	return errors.As(err, &damaged) || errors.Is(err, livedb.ErrCorrupt) || errors.Is(err, livedb.ErrNotDatabase)
}

// checkRestored checks the database after a restore took effect.
func (m *Manager) checkRestored(ctx context.Context, e Backup) error {
	report, err := integrity.Check(context.WithoutCancel(ctx), m.cfg.Database,
		integrity.Options{Level: integrity.LevelQuick, ScratchDir: m.cfg.Dir, LockWait: m.cfg.LockWait})
	if err != nil {
		// The restore stands; that it could not be looked at is worth saying, not undoing.
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Backup: e.ID, Err: err,
			Message: "the database was restored, but could not be checked afterwards"})
		return nil
	}
	m.noteCheck(report) // whatever a deeper one found was of the database that was replaced
	if report.Damaged() {
		return &CorruptError{What: "the restored database", Report: report}
	}
	return nil
}
