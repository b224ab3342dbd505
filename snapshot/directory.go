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
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/swap"
	"example.com/snapd/internal/trust"
)

// checkStrangers refuses to work as root where another user could exchange the database or
// the backups, between two looks of ours or for a link: that user would read, replace or
// remove with root's rights. given is the database's path before links in it were followed.
func (c *Config) checkStrangers(given string) error {
	if trust.User() != 0 || c.AnyOwner {
		return nil
	}
	for _, path := range []string{given, c.Database, filepath.Join(c.Dir, "x")} {
		other, err := trust.Find(path, 0)
		if err != nil {
			return err
		}
		if other != nil {
			return hint(fmt.Errorf("%w: as root, %s is not safe to use: %s", ErrRefused, strings.TrimSuffix(path, "/x"), other),
				"run it as the user whose database it is; or keep database and backups in directories that only root can change")
		}
	}
	return nil
}

// afterCrash puts right what a crash left: a half-done restore, temp files, an
// archive without its entry. While another operation holds the lock none of
// that is debris, and it is left alone.
func afterCrash(ctx context.Context, m *Manager) error {
	pending, err := targetOf(ctx, m).Pending()
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
	lock, err := m.cat.LockOperation(ctx, false, "look for what a crash left")
	if err != nil {
		if errors.Is(err, catalogfile.ErrBusy) || errors.Is(err, catalogfile.ErrReadOnly) {
			return nil // another operation works there, or nothing can be written: reading is all that can be done
		}
		return err
	}
	defer lock.Unlock()
	var unknown *swap.UnknownUseError
	if err := explain(finishSwap(ctx, m)); errors.Is(err, ErrBusy) || errors.As(err, &unknown) {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: "restore", Err: err,
			Message: "a restore that was cut short cannot be finished while the database is in use, or may be"})
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

// operate makes the backup directory where it was never there, waits for the operation lock and sweeps
// what a crash left. The returned function gives the lock back.
func (m *Manager) operate(ctx context.Context, what string) (unlock func(), err error) {
	if err := m.cat.CheckPlace(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if m.cat.Known() {
		// One that goes away from here on is not made again.
	} else if err := durable.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return nil, hint(fmt.Errorf("%s: backup directory: %w", what, err), "choose a writable directory, with --dir")
	}
	wait, cancel := context.WithTimeout(ctx, m.cfg.lockWait(ctx))
	defer cancel()
	lock, err := m.cat.LockOperation(wait, true, what)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err = fmt.Errorf("%s: %w", what, err); errors.Is(err, catalogfile.ErrReadOnly) {
			err = hint(err, "make the backup directory writable for this user, or choose another one with --dir")
		}
		return nil, err
	}
	done := func() {
		if err := lock.Unlock(); err != nil {
			m.ev.emit(ctx, Event{Type: EventWarning, Operation: Operation(what), Err: err, Message: "the operation lock could not be released"})
		}
	}
	if err := finishSwap(ctx, m); err != nil {
		done()
		return nil, err
	}
	if err := errors.Join(catalogfile.UpdateOwner(ctx, m.cat, m.cfg.Database), m.reconcile(ctx, lock)); err != nil {
		done()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	resolveRestore(ctx, m)
	m.endInterrupted()
	return done, nil
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
		m.ev.emit(ctx, Event{Type: EventReconciled, Message: line, loud: lost || ch.Unsaved != nil || ch.NoLink != nil || ch.Exposed != ""})
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
		// The database may say more than the archives: whether a restore ended a loss.
		if s, err := see(ctx, &m.cfg); err == nil { // else the next backup looks
			if _, err := notice(ctx, m, s); err != nil {
				return Event{}, fmt.Errorf("rebuild: record what the database is: %w", err)
			}
		}
		message := fmt.Sprintf("catalog rebuilt from %d archives", len(ch.Added))
		return Event{Type: EventDone, Message: message, more: Activity{Detail: message}}, nil
	})
	return ch, err
}

// Quarantines returns the damaged databases that were kept in the backup directory, the oldest
// first. Of equal ones the newest stays. All others stay until [Manager.Delete]
// removes them by their names, but for those between the first and the last three in
// which every row was in what took their place.
func (m *Manager) Quarantines() ([]Quarantine, error) {
	list, err := catalogfile.Quarantines(m.cfg.Dir)
	return append([]Quarantine{}, list...), err
}

// removeQuarantines removes kept databases, and says of each what goes with it.
func (o *operation) removeQuarantines(ctx context.Context, m *Manager, going []Quarantine) error {
	for _, q := range going {
		if err := catalogfile.RemoveQuarantine(m.cfg.Dir, q); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		words := "deleted " + q.Name + ": " + q.Loses()
		m.ev.emit(ctx, Event{Type: EventRemoved, Operation: o.kind, Path: q.Name, Message: words, more: Activity{Detail: words}})
	}
	return nil
}
