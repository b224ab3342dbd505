package snapshot

import (
	"context"
	"example.com/snapd/internal/catalogfile"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mine refuses a backup directory that holds another database's backups: what
// "latest" means, what recovery restores and what retention removes would be
// the other one's. A database that was moved takes its backups along: its old
// path names nothing any more.
func (m *Manager) mine() error {
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
		if !sameOrGone(p, m.cfg.Database) {
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
func sameOrGone(then, now string) bool {
	a, err := os.Stat(then)
	if err != nil {
		return os.IsNotExist(err)
	}
	b, err := os.Stat(now)
	return err == nil && os.SameFile(a, b)
}

// claim writes down whose backups these are; the caller holds the operation lock.
func (m *Manager) claim(ctx context.Context) error {
	if err := m.mine(); err != nil {
		return err
	}
	if state, err := m.cat.State(); err != nil || state.Database == m.path() {
		return err
	}
	return m.cat.Update(ctx, func(tx *catalogfile.Tx) error {
		tx.State().Database = m.path()
		return nil
	})
}
