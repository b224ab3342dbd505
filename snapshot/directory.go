package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/swap"
)

// settle puts right what a crash left: a half-done restore, temp files, an
// archive without its entry. While another operation holds the lock none of
// that is debris, and it is left alone.
func (m *Manager) settle(ctx context.Context) error {
	pending, err := m.target(ctx).Pending()
	if err != nil {
		return err
	}
	if _, err := os.Stat(m.cfg.Dir); errors.Is(err, fs.ErrNotExist) && pending == nil {
		return nil
	}
	if pending != nil {
		if err := durable.MkdirAll(m.cfg.Dir, 0o700); err != nil {
			return fmt.Errorf("backup directory: %w", err)
		}
	}
	lock, err := m.cat.LockOperation(ctx, false, "settle")
	if err != nil {
		if errors.Is(err, catalogfile.ErrBusy) || errors.Is(err, catalogfile.ErrReadOnly) {
			return nil // another operation works there, or nothing can be written: reading is all that can be done
		}
		return err
	}
	defer lock.Unlock()
	if err := explain(m.finishSwap(ctx)); errors.Is(err, ErrBusy) {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Err: err,
			Message: "a restore that was cut short cannot be finished while the database is in use"})
		return nil
	} else if err != nil {
		return err
	}
	if err := m.reconcile(ctx, lock); err != nil {
		return err
	}
	m.endInterrupted()
	return nil
}

// reconcile sweeps what a crash left of ours, and aligns the catalog with the directory;
// the caller holds the lock, and no restore is pending.
func (m *Manager) reconcile(ctx context.Context, lock *catalogfile.Lock) error {
	durable.SweepShared() // what crashed checks left in the system's temporary directory
	if err := swap.Sweep(m.cfg.Database); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	ch, err := m.cat.Reconcile(ctx, lock)
	ch.Swept = nil // needs no action
	if err != nil {
		return err
	}
	m.reportChanges(ctx, ch, true)
	return nil
}

// reportChanges reports what reconciling or rebuilding did. With reconciled, what an
// administrator has to see is entered into the activity log as well: no operation says it.
func (m *Manager) reportChanges(ctx context.Context, ch catalog.Changes, reconciled bool) {
	lost := ch.Reason != "" || ch.SetAside != "" || len(ch.Moved) > 0 || len(ch.Vanished) > 0 || len(ch.Resized) > 0
	for _, line := range ch.Lines() {
		m.ev.emit(ctx, Event{Type: EventReconciled, Message: line, loud: lost || ch.Unsaved != nil || ch.Exposed != ""})
	}
	if lost && reconciled {
		m.Record(Activity{Action: "rebuild", Outcome: "done", Detail: strings.Join(ch.Lines(), "; ")})
	}
}

// Rebuild makes the catalog from the archives in the backup directory and
// returns what it found. All backups are unverified afterwards, until Verify
// proves them; sequence numbers go on. Errors: [ErrBusy], [ErrVersion].
func (m *Manager) Rebuild(ctx context.Context) (Changes, error) {
	var ch Changes
	err := m.perform(ctx, &operation{kind: OpRebuild}, func(ctx context.Context) (_ Event, err error) {
		m.start(ctx, "")
		if ch, err = m.cat.Rebuild(ctx); err != nil {
			return Event{}, fmt.Errorf("rebuild: %w", err)
		}
		m.reportChanges(ctx, ch, false)
		message := fmt.Sprintf("catalog rebuilt from %d archives", len(ch.Added))
		return Event{Type: EventDone, Message: message, more: Activity{Detail: message}}, nil
	})
	return ch, err
}

// checkOwner refuses a backup directory that holds another database's backups: what
// "latest" means, what recovery restores and what retention removes would be
// the other one's. A database that was moved takes its backups along: its old
// path names nothing any more.
func (c *Config) checkOwner(cat *catalogfile.Catalog) error {
	all, state, err := cat.Read()
	if err != nil {
		return err
	}
	other := ""
	for _, e := range all {
		if !strings.HasPrefix(e.File, c.base()+"_backup_") {
			other = "of another database, such as " + e.File
			break
		}
	}
	if p := state.Database; p != "" && p != c.owner() {
		if !filepath.IsAbs(p) {
			p = filepath.Join(c.Dir, p)
		}
		ours, err := sameOrGone(p, c.Database)
		if err != nil {
			return fmt.Errorf("whose backups %s holds: %w", c.Dir, err)
		}
		if !ours {
			other = "of " + p
		}
	}
	if other == "" {
		return nil
	}
	return hint(fmt.Errorf("%w: %s holds the backups %s, not of %s", ErrRefused, c.Dir, other, c.Database),
		"give each database a backup directory of its own, with --dir")
}

// sameOrGone reports whether the path then names now's file, or nothing.
func sameOrGone(then, now string) (bool, error) {
	a, err := os.Stat(then)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	b, err := os.Stat(now)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(a, b), err
}

// recordOwner writes into the state whose backups these are, together with the first
// backup and not before: a directory without one belongs to no database. What is
// remembered of earlier failures, and of a check that found damage, may be of any
// file that was tried, and a usable backup answers it.
func (c *Config) recordOwner(state *catalog.State, usable bool) {
	if state.Database == "" && usable {
		state.LastFailure = nil
		if state.LastCheck != nil && state.LastCheck.Verdict != string(integrity.Healthy) {
			state.LastCheck = nil
		}
	}
	state.Database = c.owner()
}

// updateOwner records a database that has moved with its backups; the caller holds the
// operation lock.
func (c *Config) updateOwner(ctx context.Context, cat *catalogfile.Catalog) error {
	if err := c.checkOwner(cat); err != nil {
		return err
	}
	if state, err := cat.State(); err != nil || state.Database == "" || state.Database == c.owner() {
		return err
	}
	return cat.Update(ctx, func(tx *catalogfile.Tx) error {
		tx.State().Database = c.owner()
		return nil
	})
}
