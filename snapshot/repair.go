package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/swap"
)

// repair makes the damaged database whole from what it holds itself, where that
// loses less than any backup would: on a private copy, which is swapped in only once
// it is proven, while the original goes to quarantine. done is false where that
// cannot be; nothing was touched then. A backup that loses less is restored instead.
func (m *Manager) repair(ctx context.Context, still stateToken, usable []Backup, rec *Recovery) (done bool, err error) {
	if !rec.Report.Mendable() {
		return false, nil
	}
	if err := m.target(ctx).WaitUnused(ctx); err != nil {
		return false, fmt.Errorf("recover: %w", err)
	}
	f, err := durable.Create(m.cfg.Database, 0o600)
	if err != nil {
		return false, fmt.Errorf("recover: %w", err)
	}
	defer f.Discard()
	mended, err := m.mend(ctx, f, rec.Report, m.cfg.Dir)
	if errors.Is(err, integrity.ErrNotMendable) {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "recover", Path: m.cfg.Database, Err: err,
			Message: "the database could not be mended; a backup will be used"})
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("recover: mend: %w", err)
	}
	if b, ok := newerThan(&mended, usable); ok {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "recover", Backup: b.ID, Path: m.cfg.Database,
			Message: "the backup holds transactions that the damaged log no longer proves: it loses less than mending"})
		err := m.restoreFirst(ctx, []Backup{b}, swap.Swap{Preserve: true, Unchanged: still.Matches}, rec)
		if !errors.Is(err, ErrNoUsableBackup) {
			return true, err
		}
	}
	m.atPoint("mended")
	swapped, err := m.target(ctx).Run(ctx, swap.Swap{Staged: f, Preserve: true, Report: rec.Report, Unchanged: still.Matches,
		Committing: func() { m.committing(ctx, "recover", "") }, Note: swap.Note{Operation: "recover"}})
	if err != nil {
		return false, fmt.Errorf("recover: %w", err)
	}
	rec.Action, rec.Mended, rec.Quarantined = ActionRepaired, &mended, &swapped.Kept
	m.reportQuarantined(ctx, "recover", swapped.Kept)
	if err := m.checkRestored(ctx, Backup{}); err != nil {
		return true, err
	}
	m.ev.emit(ctx, Event{Type: EventRepaired, Operation: "recover", Path: m.cfg.Database, Message: "database mended: " + mended.Summary(),
		more: Activity{Action: "repair"}})
	return true, nil
}

// mend copies the database with its sidecars to dst and makes the copy whole; dir is
// where pages may be written afresh. The caller makes sure afterwards that the
// database did not change meanwhile.
func (m *Manager) mend(ctx context.Context, dst interface {
	io.Writer
	Name() string
}, report Report, dir string) (integrity.Mending, error) {
	var none integrity.Mending
	print, err := livedb.TakeFingerprint(m.cfg.Database)
	if err != nil {
		return none, err
	}
	sizes := livedb.Sizes{Main: print.Main.Size, WAL: print.WAL.Size, Journal: print.Journal.Size}
	if err := durable.Preflight(filepath.Dir(dst.Name()), sizes.Main+sizes.WAL+sizes.Journal); err != nil {
		return none, err
	}
	m.progress(ctx, Event{Operation: "recover", Phase: "mend", Path: m.cfg.Database, Total: sizes.Main})
	if err := livedb.CopyTo(ctx, m.cfg.Database, sizes, dst); err != nil {
		return none, errors.Join(err, livedb.RemoveSidecars(dst.Name()))
	}
	return integrity.Mend(ctx, dst.Name(), report, integrity.Options{ScratchDir: dir})
}

// newerThan returns the newest usable backup if it reaches further into the log
// than what mending saved, as far as that is known: that then lacks a transaction. Of a
// log without a whole transaction it is not known whether a checkpoint had copied it.
func newerThan(mended *integrity.Mending, usable []Backup) (Backup, bool) {
	if mended.Dropped == 0 && mended.LogFrame == 0 || len(usable) == 0 {
		return Backup{}, false
	}
	at := originOf(usable[0]).Log
	if at == nil || at.Salts != mended.LogSalts || at.Frame <= mended.LogFrame {
		return Backup{}, false
	}
	mended.Dropped = max(mended.Dropped, 1)
	return usable[0], true
}
