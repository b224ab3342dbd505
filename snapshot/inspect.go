package snapshot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/proof"
)

// OpenBackup opens the database inside a backup for reading, straight from the
// archive: nothing is restored, frames are decompressed as pages are asked for
// and kept in a bounded cache. Writing fails. Closing the *sql.DB frees
// everything. Good for queries; a scan of the whole image is faster on a file
// that Restore wrote with RestoreOptions.To.
//
// A damaged archive is [ErrCorrupt], with the frame, and the backup is marked failed.
// Damage beyond the schema shows when a query needs those pages: the query fails with
// SQLite's error, and the backup is marked failed then. Other errors: [ErrNotFound].
func (m *Manager) OpenBackup(ctx context.Context, id string) (*sql.DB, error) {
	image, err := lookInside(ctx, m, id)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	db, err := image.DB(ctx, image.close)
	if err != nil {
		return nil, explain(fmt.Errorf("open backup: backup %s: %w", id, err))
	}
	return db, nil
}

// Tables lists what is in a backup, by name, straight from the archive: nothing is
// restored, no view is evaluated and no virtual table queried. SQLite's own tables,
// and those in which virtual tables keep their content, are left out. It takes some
// two seconds at most, for any schema. Errors: [ErrNotFound],
// [ErrCorrupt], [ErrRefused] for a schema of too many tables.
func (m *Manager) Tables(ctx context.Context, id string) (_ []Table, err error) {
	image, err := lookInside(ctx, m, id)
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	defer func() { err = errors.Join(err, image.close()) }()
	list, err := image.Tables(ctx)
	if err != nil {
		return nil, explain(fmt.Errorf("tables: backup %s: %w", id, err))
	}
	return list, nil
}

// openImage is the image inside a backup; close frees it and the archive.
type openImage struct {
	*inspect.Image
	close func() error
}

// lookInside opens the image of a backup or a recovery point. A damaged archive is marked failed, also when
// that shows in a later read.
func lookInside(ctx context.Context, m *Manager, id string) (openImage, error) {
	e, err := proof.Find(ctx, m.cat, id)
	if err != nil {
		return openImage{}, explain(err)
	}
	prover := proverOf(ctx, m, Event{})
	r, err := prover.Open(ctx, e)
	if err != nil {
		return openImage{}, explain(err)
	}
	ctx = context.WithoutCancel(ctx)
	image, err := inspect.New(r, r.Shape().Bytes(), e.CreatedAt, func(err error) {
		if err = explain(prover.Failed(ctx, r, fmt.Errorf("%s: %w", proof.Named(e), err))); errors.Is(err, ErrCorrupt) {
			m.ev.emit(ctx, Event{Type: EventWarning, Backup: e.ID, Path: proof.Path(m.cat, e), Err: err, Message: "an open " + proof.Kind(e) + " is damaged"})
		}
	})
	if err != nil {
		return openImage{}, errors.Join(err, r.Close())
	}
	return openImage{image, func() error { return errors.Join(image.Close(), r.Close()) }}, nil
}
