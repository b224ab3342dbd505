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
)

// checkOwner refuses a backup directory that holds another database's backups: what
// "latest" means, what recovery restores and what retention removes would be
// the other one's. A database that was moved takes its backups along: its old
// path names nothing any more.
func (m *Manager) checkOwner() error {
	state, err := m.cat.State()
	if err != nil {
		return err
	}
	all, err := m.cat.All()
	if err != nil {
		return err
	}
	other := ""
	for e := range all {
		if !strings.HasPrefix(e.File, m.cfg.base()+"_backup_") {
			other = "of another database, such as " + e.File
			break
		}
	}
	if p := state.Database; p != "" && p != m.path() {
		if !filepath.IsAbs(p) {
			p = filepath.Join(m.cfg.Dir, p)
		}
		ours, err := sameOrGone(p, m.cfg.Database)
		if err != nil {
			return fmt.Errorf("whose backups %s holds: %w", m.cfg.Dir, err)
		}
		if !ours {
			other = "of " + p
		}
	}
	if other == "" {
		return nil
	}
	return hint(fmt.Errorf("%w: %s holds the backups %s, not of %s", ErrRefused, m.cfg.Dir, other, m.cfg.Database),
		"give each database a backup directory of its own, with --dir")
}

// path is how the catalog names the database: from the backup directory, so that
// both may be moved or copied together.
func (m *Manager) path() string {
	if rel, err := filepath.Rel(m.cfg.Dir, m.cfg.Database); err == nil {
		return filepath.ToSlash(rel)
	}
	return m.cfg.Database
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
func (m *Manager) recordOwner(state *catalog.State, usable bool) {
	if state.Database == "" && usable {
		state.LastFailure = nil
		if state.LastCheck != nil && state.LastCheck.Verdict != string(integrity.Healthy) {
			state.LastCheck = nil
		}
	}
	state.Database = m.path()
}

// updateOwner records a database that has moved with its backups; the caller holds the
// operation lock.
func (m *Manager) updateOwner(ctx context.Context) error {
	if err := m.checkOwner(); err != nil {
		return err
	}
	if state, err := m.cat.State(); err != nil || state.Database == "" || state.Database == m.path() {
		return err
	}
	return m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		tx.State().Database = m.path()
		return nil
	})
}
