package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/swap"
)

// Method is how a restore put the image in place.
type Method string

const (
	Online Method = "online" // one write transaction beside open connections
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
	// Result, when not nil, receives what was done.
	Result *RestoreResult
}

// RestoreResult says what a restore did.
type RestoreResult struct {
	Restored     string  `json:"restored"`
	To           string  `json:"to"`
	Method       Method  `json:"method"`
	SafetyBackup *string `json:"safety_backup"` // restore it to undo; null where nothing was replaced
	Quarantined  string  `json:"-"`             // where a damaged database was preserved
	DurationMS   int64   `json:"duration_ms"`

	began time.Time
}

// Restore puts the backup's image in place. The backup is proven first. Over
// the database it goes through one write transaction that writes the pages that
// differ from the state that the safety backup has, so that open connections of any
// process stay good and no acknowledged commit is lost; readers see the old
// state until it commits. That backup is made and proven before the transaction
// begins; if somebody commits meanwhile, it is made again inside. Where the database is missing, damaged or has another
// page size, and with Offline, a proven file is swapped in under an exclusive
// lock, the damaged one kept in the backup directory. Either way the result is
// the old database or the new one, whenever the process dies.
//
// Errors: [ErrNotFound], [ErrCorrupt] (the backup fails its proof), [ErrBusy]
// (somebody holds the database; nothing changed), [ErrNoSpace], [ErrRefused].
func (m *Manager) Restore(ctx context.Context, id string, o RestoreOptions) error {
	var res RestoreResult
	op := &operation{kind: OpRestore, result: func() any { return res }}
	return m.perform(ctx, op, func(ctx context.Context) (Event, error) {
		res.began = m.now()
		if err := m.restore(ctx, id, o, &res); err != nil {
			return Event{}, err
		}
		res.DurationMS = m.since(res.began)
		if o.Result != nil {
			*o.Result = res
		}
		return Event{Type: EventRestored, Path: res.To,
			Message: fmt.Sprintf("database restored from %s (%s)", res.Restored, res.Method), more: res.activity()}, nil
	})
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

// activity is what the log says of it beside the event.
func (r *RestoreResult) activity() Activity {
	a := Activity{Detail: "over the database; nothing was there to be saved", DurationMS: r.DurationMS}
	switch {
	case r.Method == File:
		a.Detail = "to " + r.To
	case r.SafetyBackup != nil:
		a.Detail = "over the database; undo by restoring " + *r.SafetyBackup
	case r.Quarantined != "":
		a.Detail = "over the database, of which the files are kept as " + filepath.Base(r.Quarantined)
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
	if o.To != "" {
		res.Method, res.To = File, o.To
		return m.restoreFile(ctx, r, e, o)
	}
	res.To = m.cfg.Database
	if !o.Offline {
		done, err := m.restoreOnline(ctx, r, e, o.Plan, res)
		if done || err != nil {
			return err
		}
	}
	res.Method = Swap
	return m.restoreSwap(ctx, r, e, o.Plan, res)
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

// acceptTarget refuses to write over what might be needed, and beside sidecars
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
// digests on the way. The file is synced, not yet renamed.
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
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return f, nil
}

// restoreOnline restores through one write transaction of the live database.
// done is false, with no error, where that cannot be: no database, one that
// SQLite cannot open, or another page size.
func (m *Manager) restoreOnline(ctx context.Context, r *archive.Reader, e Backup, plan *RestorePlan, res *RestoreResult) (done bool, err error) {
	if st, err := os.Stat(m.cfg.Database); err != nil || st.Size() == 0 || e.DatabaseBytes == 0 {
		return false, nil
	}
	if m.damagedFiles(ctx) != nil || m.damagedByJournal(ctx) {
		return false, nil // it must be kept whole, which only a swap does
	}
	// Proven before anybody is held up by our transaction; a swap proves while it unpacks.
	p, err := m.beforehand(ctx, r, e)
	if isDamage(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() {
		if e := p.close(); e != nil {
			m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Backup: res.Restored, Err: e,
				Message: "what was made ready for a restore could not be removed"})
		}
	}()
	if p == nil {
		prove := m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: "prove", Total: e.DatabaseBytes})
		if err := r.Verify(ctx, archive.CopyOptions{Workers: m.allWorkers(), Progress: prove}); err != nil {
			return false, m.condemn(ctx, e, fmt.Errorf("restore: backup %s: %w", e.ID, err))
		}
	}
	return m.restoreLocked(ctx, r, p, e, plan, res)
}

// restoreLocked is the part of restoreOnline for which writers wait.
func (m *Manager) restoreLocked(ctx context.Context, r *archive.Reader, p *prepared, e Backup, plan *RestorePlan, res *RestoreResult) (done bool, err error) {
	tx, err := pages.BeginWrite(ctx, m.cfg.Database, m.cfg.LockWait)
	switch {
	case errors.Is(err, livedb.ErrCorrupt), errors.Is(err, livedb.ErrNotDatabase), errors.Is(err, livedb.ErrMissing):
		return false, nil
	case err != nil:
		return false, err
	}
	defer func() {
		if e := tx.Rollback(); e != nil {
			err = errors.Join(err, fmt.Errorf("restore: roll back: %w", e))
		}
	}()
	snap := tx.Snapshot()
	if tx.Damage() != nil || snap.Info().PageSize != e.PageSize {
		return false, nil
	}
	if err := m.stillThere(plan); err != nil {
		return false, err
	}
	safety, x, err := m.safety(ctx, tx, r, p, e)
	if isDamage(err) {
		return false, nil // it must be kept whole, which only a swap does
	}
	if err != nil {
		return false, fmt.Errorf("restore: safety backup: %w", err)
	}
	if err := m.exchange(ctx, tx, r, x, e, plan, safety); err != nil {
		// Nothing was changed: what was saved is the database as it stands.
		return false, errors.Join(err, m.forget(ctx, safety.ID))
	}
	m.atPoint("committed")
	res.Method, res.SafetyBackup = Online, &safety.ID
	m.rememberRestore(res.outcome(m))
	return true, m.checkRestored(ctx, e)
}

// exchange writes the image into the transaction, whose state safety holds, and
// commits it. Until it announces that, the end of ctx leaves everything as it was.
func (m *Manager) exchange(ctx context.Context, tx *pages.WriteTx, r *archive.Reader, x exchangeable,
	e Backup, plan *RestorePlan, safety Backup) (err error) {
	if err := plan.saved(e, &safety); err != nil {
		return err
	}
	p := m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: "write", Total: e.DatabaseBytes})
	if x.known {
		_, err = tx.ReplaceBy(ctx, x.differ, x.changed, p)
	} else {
		err = m.replace(ctx, tx, r, p)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.atPoint("pages replaced")
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.aboutToCommit(tx, e, safety)
	m.atPoint("restore written down")
	m.progress(ctx, Event{Operation: "restore", Backup: e.ID, Phase: PhaseCommit})
	if err := tx.Commit(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("restore: commit: %w", err)
	}
	return nil
}

// forget drops a safety backup of a state that was not replaced after all.
func (m *Manager) forget(ctx context.Context, id string) error {
	err := m.cat.Delete(context.WithoutCancel(ctx), id)
	if err != nil {
		return fmt.Errorf("remove the safety backup that is not needed: %w", err)
	}
	return nil
}

// isDamage reports whether err says that the live database is damaged.
func isDamage(err error) bool {
	var damaged *CorruptError
	return errors.As(err, &damaged) || errors.Is(err, livedb.ErrCorrupt) || errors.Is(err, livedb.ErrNotDatabase)
}

// replace streams the image into the transaction, and fails unless the
// archive's digests held to the end of the stream.
func (m *Manager) replace(ctx context.Context, tx *pages.WriteTx, r *archive.Reader, p func(int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	info := r.Info()
	pr, pw := io.Pipe()
	proof := make(chan error, 1) // the goroutine ends when the stream is read, or pr closed
	go func() {
		err := r.CopyTo(ctx, pw, archive.CopyOptions{Workers: m.allWorkers()})
		pw.CloseWithError(err)
		proof <- err
	}()
	_, err := tx.Replace(ctx, pr, info.PageSize, info.PageCount, p)
	if err == nil {
		_, err = io.Copy(io.Discard, pr) // to the end, where the proof is
	}
	pr.CloseWithError(context.Canceled)
	if proven := <-proof; err == nil {
		err = proven
	}
	return err
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
