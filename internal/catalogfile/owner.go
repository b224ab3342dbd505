package catalogfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/snapd/internal/message"
)

// ErrOtherDatabase: the directory has another database's backups.
var ErrOtherDatabase = errors.New("refused for safety")

// OwnerName is how the state names the database whose backups a directory has: from the
// directory, so that both may be moved or copied together.
func OwnerName(dir, database string) string {
	if rel, err := filepath.Rel(dir, database); err == nil {
		return filepath.ToSlash(rel)
	}
	return database
}

// CheckOwner refuses a directory that has another database's backups, with
// ErrOtherDatabase: what "latest" means, what recovery restores and what retention
// removes would be the other one's. A database that was moved takes its backups along:
// its old path names nothing any more.
func (c *Catalog) CheckOwner(database string) error {
	all, state, err := c.Read()
	if err != nil {
		return err
	}
	other := ""
	for _, e := range all {
		if !strings.HasPrefix(e.File, c.base+"_backup_") {
			other = "of another database, such as " + e.File
			break
		}
	}
	if p := state.Database; p != "" && p != OwnerName(c.dir, database) {
		if !filepath.IsAbs(p) {
			p = filepath.Join(c.dir, p)
		}
		ours, err := sameOrGone(p, database)
		if err != nil {
			return fmt.Errorf("whose backups %s holds: %w", c.dir, err)
		}
		if !ours {
			other = "of " + p
		}
	}
	if other == "" {
		return nil
	}
	return message.WithHint(fmt.Errorf("%w: %s holds the backups %s, not of %s", ErrOtherDatabase, c.dir, other, database),
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

// UpdateOwner is CheckOwner, and records a database that has moved with its backups. The
// caller holds the operation lock.
func UpdateOwner(ctx context.Context, c *Catalog, database string) error {
	if err := c.CheckOwner(database); err != nil {
		return err
	}
	name := OwnerName(c.dir, database)
	if state, err := c.State(); err != nil || state.Database == "" || state.Database == name {
		return err
	}
	return c.Update(ctx, func(tx *Tx) error {
		tx.State().Database = name
		return nil
	})
}
