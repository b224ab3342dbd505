package snapshot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// repair makes the damaged database whole from what it holds itself, where that
// loses less than any backup would: on a private copy, which is swapped in only once
// it is proven, while the original goes to quarantine. done is false where that
// cannot be; nothing was touched then. A backup that loses less is restored instead.
func (m *Manager) repair(ctx context.Context, still stillFunc, usable []Backup, rec *Recovery) (done bool, err error) {
	if !rec.Report.Mendable() {
		return false, nil
	}
	if err := m.mustBeUnused(ctx); err != nil {
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
	quarantine, err := m.quarantineName()
	if err != nil {
		return false, err
	}
	if b, ok := newerThan(&mended, usable); ok {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "recover", Backup: b.ID, Path: m.cfg.Database,
			Message: "the backup holds transactions that the damaged log no longer proves: it loses less than mending"})
		err := m.restoreFirst(ctx, []Backup{b}, &swap{quarantine: quarantine, still: still}, rec)
		if !errors.Is(err, ErrNoUsableBackup) {
			return true, err
		}
	}
	m.atPoint("mended")
	image, err := imageOf(ctx, f)
	if err != nil {
		return false, fmt.Errorf("recover: mend: %w", err)
	}
	s := &swap{staged: f, backup: image, quarantine: quarantine, report: &rec.Report, still: still}
	if err := m.swap(ctx, s); err != nil {
		return false, fmt.Errorf("recover: %w", err)
	}
	kept := quarantined(s.quarantine)
	rec.Action, rec.Mended, rec.Quarantined = ActionRepaired, &mended, &kept
	m.tellQuarantined(ctx, "recover", s)
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

// imageOf describes a staged, synced database that is no backup's.
func imageOf(ctx context.Context, f *durable.File) (Backup, error) {
	if err := f.Sync(); err != nil {
		return Backup{}, err
	}
	st, err := os.Stat(f.Name())
	if err != nil {
		return Backup{}, err
	}
	sum, err := hashImage(ctx, io.NewSectionReader(f, 0, st.Size()))
	return Backup{DatabaseBytes: st.Size(), ImageBLAKE3: sum}, err
}

// hashImage returns the BLAKE3 of everything in r, in hex.
func hashImage(ctx context.Context, r io.Reader) (string, error) {
	h := archive.NewImageHash()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}
