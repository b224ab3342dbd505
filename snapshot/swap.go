package snapshot

import (
	"cmp"
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
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlite"
)

// sidecarSuffixes in the order in which a swap removes them: the -shm is only
// an index of the -wal and goes last.
var sidecarSuffixes = []string{"-journal", "-wal", "-shm"}

// swap puts a staged, proven, synced image in the database's place.
type swap struct {
	staged     *durable.File
	backup     Backup
	quarantine string            // absolute path, "" to preserve nothing but what a safety backup holds
	report     *integrity.Report // goes with the quarantine; nil where nothing could be said
	// still reports whether the database is still what was judged or saved; it
	// is asked under the exclusive lock.
	still stillFunc

	op        string // the operation, "" for a recovery
	safety    string // id of the backup of what is replaced, "" where there is none
	committed bool   // the swap became irrevocable
}

// stillFunc reports whether the database is what it was when the function was made.
type stillFunc func() (bool, error)

// errMoved: the database changed between being saved and being locked.
var errMoved = errors.New("the database changed meanwhile")

// restoreSwap restores by replacing the file.
func (m *Manager) restoreSwap(ctx context.Context, r *archive.Reader, e Backup, plan *RestorePlan, res *RestoreResult) (err error) {
	if m.cfg.BeforeSwap != nil {
		if err := m.cfg.BeforeSwap(ctx); err != nil {
			return fmt.Errorf("restore: BeforeSwap: %w", err)
		}
	}
	if m.cfg.AfterSwap != nil {
		defer func() {
			if e := m.cfg.AfterSwap(context.WithoutCancel(ctx)); e != nil {
				err = errors.Join(err, fmt.Errorf("restore: AfterSwap: %w", e))
			}
		}()
	}
	if err := m.mustBeUnused(ctx); err != nil {
		return err
	}
	f, err := m.unpack(ctx, r, e, m.cfg.Database, 0o600)
	if err != nil {
		return m.condemn(ctx, e, err)
	}
	defer f.Discard()
	m.atPoint("unpacked")
	if err := m.foldIn(ctx); err != nil {
		return err
	}
	const tries = 5 // a writer that commits between our copy and our lock five times in a row is in use
	for range tries {
		s, err := m.save(ctx, f, e, plan, res)
		if err != nil {
			return err
		}
		err = m.swap(ctx, s)
		if !s.committed && res.SafetyBackup != nil {
			// Nothing was changed: what was saved is not needed.
			err = errors.Join(err, m.forget(ctx, *res.SafetyBackup))
			res.SafetyBackup = nil
		}
		if err == nil {
			m.rememberRestore(res.outcome(m))
			if s.quarantine != "" {
				res.Quarantined = quarantined(s.quarantine)
			}
			m.tellQuarantined(ctx, "restore", s)
			return m.checkRestored(ctx, e)
		} else if !errors.Is(err, errMoved) {
			return err
		}
	}
	return hint(&sentinelError{ErrBusy, fmt.Errorf("restore: %w, %d times", errMoved, tries)}, "stop whatever writes to the database, then try again")
}

// foldIn has SQLite do what it would at the application's next start: roll back
// a transaction that a crash cut short, and bring a -wal that a crash left into
// the file. Nobody has the database open. Without sidecars the swap is one rename,
// and whoever opens the database after a crash in the middle of it finds the old
// state or the new one, even before Open has tidied up. A damaged database stays
// as it is: it will be quarantined.
func (m *Manager) foldIn(ctx context.Context) error {
	if st, err := os.Stat(m.cfg.Database); err != nil || st.Size() == 0 || len(livedb.Sidecars(m.cfg.Database)) == 0 {
		return nil // who comes next looks at the file too, and says what is wrong with it
	}
	report, err := m.look(ctx, integrity.LevelQuick, m.cfg.LockWait)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if report.Damaged() {
		return nil // a damaged -wal would be dropped: it stays, for the quarantine
	}
	c, err := sqlite.Open(m.cfg.Database, sqlite.Options{BusyTimeout: m.cfg.LockWait})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	err = errors.Join(c.CheckpointOnClose(), c.Exec(ctx, "BEGIN IMMEDIATE; ROLLBACK"), c.Close())
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return nil
	case sqlite.ClassBusy:
		return &sentinelError{ErrBusy, fmt.Errorf("restore: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.atPoint("folded in")
	return nil
}

// save keeps what the swap will replace: a sound database as a safety backup,
// anything else whole in quarantine.
func (m *Manager) save(ctx context.Context, f *durable.File, e Backup, plan *RestorePlan, res *RestoreResult) (*swap, error) {
	s := &swap{staged: f, backup: e, op: "restore"}
	var err error
	if s.still, err = m.stillAsNow(); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := m.stillThere(plan); err != nil {
		return nil, err
	}
	st, err := os.Stat(m.cfg.Database)
	if errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() == 0 {
		if len(livedb.Sidecars(m.cfg.Database)) > 0 {
			return s, m.saveWhole(ctx, s, plan)
		}
		return s, plan.saved(e, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if m.damagedFiles(ctx) != nil || m.damagedByJournal(ctx) {
		return s, m.saveWhole(ctx, s, plan)
	}
	wait, cancel := m.lockContext(ctx)
	snap, err := pages.Begin(wait, m.cfg.Database, livedb.Options{ScratchDir: m.cfg.Dir})
	cancel()
	if isDamage(err) {
		return s, m.saveWhole(ctx, s, plan)
	}
	if err != nil {
		return nil, err
	}
	b, err := m.store(ctx, snap, Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore, Pin: true,
		Note: "state before restoring " + e.ID}, nil)
	closed := snap.Close()
	if closed == nil && isDamage(err) {
		return s, m.saveWhole(ctx, s, plan)
	}
	if err := errors.Join(err, closed); err != nil {
		return nil, fmt.Errorf("restore: safety backup: %w", err)
	}
	if err := plan.saved(e, &b); err != nil {
		return nil, errors.Join(err, m.forget(ctx, b.ID))
	}
	res.SafetyBackup, s.safety = &b.ID, b.ID
	return s, nil
}

// saveWhole has the swap keep the files as they are, with what a check says of them.
func (m *Manager) saveWhole(ctx context.Context, s *swap, plan *RestorePlan) (err error) {
	if err := plan.saved(s.backup, nil); err != nil {
		return err
	}
	if s.quarantine, err = m.quarantineName(); err != nil {
		return err
	}
	report, err := m.look(ctx, integrity.LevelQuick, m.cfg.LockWait)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	s.report = &report
	return nil
}

// stillAsNow returns a stillFunc for the database's present state.
func (m *Manager) stillAsNow() (stillFunc, error) {
	take := func() (livedb.Fingerprint, error) {
		print, err := livedb.TakeFingerprint(m.cfg.Database)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // the zero fingerprint stands for a missing file
		}
		return print, err
	}
	then, err := take()
	if err != nil {
		return nil, err
	}
	return func() (bool, error) {
		now, err := take()
		return err == nil && then.Same(now), err
	}, nil
}

// swap replaces the database under an exclusive lock; see [intent] for what
// makes it end old or new.
func (m *Manager) swap(ctx context.Context, s *swap) error {
	db := m.cfg.Database
	unlock, err := m.lockOut(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if ok, err := s.still(); err != nil {
		return fmt.Errorf("restore: %w", err)
	} else if !ok {
		return errMoved
	}
	in, err := planSwap(db, s)
	if err != nil {
		return err
	}
	if err := dressLike(s.staged.Name(), db); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	s.committed = true // whatever fails from here on may have begun to change things
	m.progress(ctx, Event{Operation: cmp.Or(s.op, "recover"), Backup: s.backup.ID, Phase: phaseCommit})
	if err := in.write(db); err != nil {
		return err
	}
	m.atPoint("intent written")
	return m.carryOut(context.WithoutCancel(ctx), in)
}

// planSwap writes down everything that the swap will touch.
func planSwap(db string, s *swap) (*intent, error) {
	in := &intent{Version: intentVersion, Backup: s.backup.ID, Target: filepath.Base(db), Staged: filepath.Base(s.staged.Name()),
		Bytes: s.backup.DatabaseBytes, BLAKE3: s.backup.ImageBLAKE3, Quarantine: s.quarantine,
		Operation: cmp.Or(s.op, "recover"), Safety: s.safety}
	if s.quarantine != "" {
		in.Report = s.report
	}
	var err error
	if in.StagedID, err = livedb.Identify(s.staged.Name()); err != nil {
		return nil, err
	}
	if in.Replaced, err = identify(db, ""); err != nil {
		return nil, err
	}
	for _, suffix := range sidecarSuffixes {
		id, err := identify(db, suffix)
		if err != nil {
			return nil, err
		}
		if id != nil {
			in.Sidecars = append(in.Sidecars, *id)
		}
	}
	return in, nil
}

// carryOut does, or goes on with, the steps of an intent. Each may have been
// done before.
func (m *Manager) carryOut(ctx context.Context, in *intent) error {
	db := m.cfg.Database
	staged := filepath.Join(filepath.Dir(db), in.Staged)
	if in.Quarantine != "" {
		if err := m.preserve(ctx, in); err != nil {
			return err
		}
	}
	m.atPoint("preserved")
	for _, side := range in.Sidecars {
		now, err := identify(db, side.Suffix)
		if err != nil {
			return err
		}
		if now == nil {
			continue
		}
		if err := durable.Remove(db + side.Suffix); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		m.atPoint("removed " + side.Suffix)
	}
	old, err := openReplaced(db, in)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer old.close()
	rename := durable.Rename
	if in.Replaced == nil {
		rename = durable.RenameNew // whatever appeared there since is not ours to replace
	}
	if err := rename(staged, db); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.atPoint("renamed")
	if err := old.retire(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := m.waitForLateComers(ctx, in); err != nil {
		return err
	}
	if err := closeToOthers(in.Quarantine); err != nil {
		return err
	}
	if err := m.closeIntent(in); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.atPoint("intent removed")
	return nil
}

// closeIntent removes the intent of a swap that took effect. What nobody else will
// remember after a crash is written down first; the caller adds how long it took.
func (m *Manager) closeIntent(in *intent) error {
	if in.Backup != "" { // else a repair
		m.rememberRestore(catalog.RestoreOutcome{ID: in.Backup, Action: in.Operation, Safety: in.Safety})
	}
	return durable.Remove(intentPath(m.cfg.Database))
}

// waitForLateComers waits, with everybody locked out, for those who opened the
// replaced file in the instant before the rename, where it lives on as the
// quarantine and so could not be made unusable: they would write a -wal for the
// old file beside the new one.
func (m *Manager) waitForLateComers(ctx context.Context, in *intent) error {
	if in.Quarantine == "" || isMissing(in.Quarantine) {
		return nil
	}
	ctx, cancel := m.lockContext(ctx)
	defer cancel()
	for {
		users, known, err := livedb.Users(in.Quarantine)
		if err != nil {
			return fmt.Errorf("who uses the replaced database: %w", err)
		}
		if !known || len(users) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Path: in.Quarantine,
				Message: fmt.Sprintf("process %d (%s) opened the database while it was being replaced: restart it", users[0].PID, users[0].Command)})
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// finishRestore ends a swap that was cut short: goes on with it where the
// staged image is whole and nobody has touched the database since, else undoes it.
func (m *Manager) finishRestore(ctx context.Context, in *intent) error {
	db := m.cfg.Database
	unlock, err := m.lockOut(ctx)
	if err != nil {
		return fmt.Errorf("finish restore: %w", err)
	}
	defer unlock()
	staged := filepath.Join(filepath.Dir(db), in.Staged)
	whole, err := wholeImage(ctx, staged, in)
	if err != nil {
		return fmt.Errorf("finish restore: %w", err)
	}
	now, err := identify(db, "")
	if err != nil {
		return fmt.Errorf("finish restore: %w", err)
	}
	untouched := in.Replaced.is(now)
	for _, suffix := range sidecarSuffixes {
		side, err := identify(db, suffix)
		if err != nil {
			return fmt.Errorf("finish restore: %w", err)
		}
		// The -shm is an index that SQLite may rewrite; it holds no data.
		untouched = untouched && (side == nil || suffix == "-shm" || in.names(side))
	}
	switch {
	case whole && untouched:
		if err := m.carryOut(ctx, in); err != nil {
			return fmt.Errorf("finish restore: %w", err)
		}
		m.ev.emit(ctx, Event{Type: EventRestoreReset, Operation: "restore", Backup: in.Backup, Path: db,
			Message: "a restore that was cut short has been finished"})
		return nil
	case now != nil && now.ID == in.StagedID:
		// The rename was done, and the application may have written since.
		if err := closeToOthers(in.Quarantine); err != nil {
			return fmt.Errorf("finish restore: %w", err)
		}
		return m.closeIntent(in)
	}
	return m.undoRestore(ctx, in, staged, untouched)
}

// undoRestore puts back what a cut-short swap had moved, and drops its image.
// What somebody has written to the database since stays.
func (m *Manager) undoRestore(ctx context.Context, in *intent, staged string, untouched bool) error {
	db := m.cfg.Database
	message := "a restore that was cut short has been undone: the database is as it was before"
	if !untouched {
		message = "a restore that was cut short has been given up, because the database was used meanwhile; what it held before is in the newest pre-restore backup"
		if in.Quarantine != "" {
			message = "a restore that was cut short has been given up, because the database was used meanwhile; what was preserved is " + in.Quarantine
		}
	}
	if err := m.release(ctx, in, untouched); err != nil {
		return fmt.Errorf("undo restore: %w", err)
	}
	if err := errors.Join(durable.Remove(staged), durable.Remove(intentPath(db))); err != nil {
		return fmt.Errorf("undo restore: %w", err)
	}
	m.ev.emit(ctx, Event{Type: EventRestoreReset, Operation: "restore", Backup: in.Backup, Path: db, Message: message, more: Activity{Outcome: "failed", Code: "interrupted"}})
	return nil
}

// names reports whether side is one of the sidecars written down.
func (in *intent) names(side *fileID) bool {
	for i := range in.Sidecars {
		if in.Sidecars[i].is(side) {
			return true
		}
	}
	return false
}

// wholeImage proves that the staged file is the image that the intent names.
func wholeImage(ctx context.Context, staged string, in *intent) (bool, error) {
	st, err := os.Lstat(staged)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!st.Mode().IsRegular() || st.Size() != in.Bytes) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	f, err := os.Open(staged)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum, err := hashImage(ctx, f)
	return sum == in.BLAKE3, err
}

func isMissing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
