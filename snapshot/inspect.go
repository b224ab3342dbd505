package snapshot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"example.com/snapd/internal/dump"
	"example.com/snapd/internal/imagefs"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/restore"
	"example.com/snapd/internal/rowdiff"
)

// Live is the id of the database itself, as it is now, wherever something is only read.
const Live = rowdiff.LiveID

// What a look inside takes and returns, under this package's name.
type (
	// QueryOptions bound a query: rows, time, memory.
	QueryOptions = inspect.QueryOptions
	// QueryResult has the rows of a query.
	QueryResult = inspect.QueryResult
	// Row has the values of one row, for each column nil, an int64, a float64, a string or a []byte. In JSON a blob is
	// {"base64":…}, and an integer beyond 2^53 a string.
	Row = dump.Row
	// ExportOptions of [Manager.Export]: where to, as what.
	ExportOptions = restore.ExportOptions
	// Exported says what an export wrote.
	Exported = restore.Exported
	// ExportFormat is what is written: a database, an SQL script that makes an equal one, or one table as CSV.
	ExportFormat = inspect.Format
)

const (
	ExportDatabase, ExportSQL, ExportCSV = inspect.Database, inspect.SQL, inspect.CSV
)

// OpenBackup opens the database inside a backup or a recovery point for reading, straight from where it is
// stored: nothing is restored, frames are decompressed as pages are asked for
// and kept in a bounded cache. Writing fails. Closing the *sql.DB frees
// everything. Good for queries; a scan of the whole image is faster on a file
// that Restore wrote with RestoreOptions.To. [Live] pins the database's present state: close it soon, since
// the log grows meanwhile, and in the rollback-journal modes writers wait.
//
// A damaged archive is [ErrCorrupt], with the frame, and the backup is marked failed.
// Damage beyond the schema shows when a query needs those pages: the query fails with
// SQLite's error, and the backup is marked failed then. Other errors: [ErrNotFound].
func (m *Manager) OpenBackup(ctx context.Context, id string) (*sql.DB, error) {
	image, err := lookInside(ctx, m, id)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	db, err := image.DB(ctx, image.Close)
	if err != nil {
		return nil, explain(fmt.Errorf("open backup: backup %s: %w", id, err))
	}
	return db, nil
}

// Tables lists what is in a backup, a recovery point or [Live], by name: nothing is
// restored, no view is evaluated and no virtual table queried. SQLite's own tables,
// and those in which virtual tables keep their content, are left out. It takes some
// two seconds at most, for any schema. Errors: [ErrNotFound],
// [ErrCorrupt], [ErrRefused] for a schema of too many tables.
func (m *Manager) Tables(ctx context.Context, id string) ([]Table, error) {
	return inside(ctx, m, "tables", id, func(i proof.Inside) ([]Table, error) { return i.Tables(ctx) })
}

// Query runs one statement that reads the database inside a backup, a recovery point or [Live]. It writes and attaches
// nothing, begins no transaction, and reaches no file; time, rows and memory are bounded, so that it is safe on a backup
// from anywhere. Errors: [ErrNotFound], [ErrCorrupt], [ErrStatement] for SQL that SQLite cannot run, [ErrRefused] for a
// statement that does not only read or takes too much memory, context.DeadlineExceeded after the timeout.
func (m *Manager) Query(ctx context.Context, id, query string, o QueryOptions) (QueryResult, error) {
	return inside(ctx, m, "query", id, func(i proof.Inside) (QueryResult, error) { return i.Query(ctx, query, o) })
}

// Rows returns rows of a table or view of a backup, a recovery point or [Live], from the one at offset on, in the order in
// which they are stored. Errors: [ErrNotFound] where there is no such table, and those of [Manager.Query].
func (m *Manager) Rows(ctx context.Context, id, table string, offset int64, o QueryOptions) (QueryResult, error) {
	return inside(ctx, m, "rows of", id, func(i proof.Inside) (QueryResult, error) { return i.Rows(ctx, table, offset, o) })
}

// Export writes what is in a backup, a recovery point or [Live] to a new file: as a database like [Manager.Restore] with
// To, as an SQL script, or one table as CSV. Memory is bounded by the largest row. Errors: [ErrNotFound] (also of a table),
// [ErrCorrupt], [ErrNoSpace], [ErrRefused] for a file that exists, or a schema that no script can have.
func (m *Manager) Export(ctx context.Context, id string, o ExportOptions) (_ Exported, err error) {
	if o, err = o.Resolve(); err != nil {
		return Exported{}, err
	}
	if o.Format == ExportDatabase && id != Live {
		done, err := m.Restore(ctx, id, RestoreOptions{To: o.To, Overwrite: o.Overwrite})
		return Exported{ID: done.Restored, To: done.To, Format: o.Format, DurationMS: done.DurationMS}, err
	}
	return inside(ctx, m, "export", id, func(i proof.Inside) (Exported, error) {
		return restore.Export(ctx, i.Image, i.ID, m.cfg.Database, m.cfg.Dir, o)
	})
}

// FS returns the backups, and the newest thousand recovery points, as the files of an [fs.FS]: ID.db in the root,
// points/1.4711.db. Each is the plain database; it is an io.ReaderAt and an io.Seeker, and is read from where it is
// stored. Other points can be opened by their names; backups that failed their proof are not there. What is damaged
// fails to be read with [ErrCorrupt].
func (m *Manager) FS() fs.FS {
	ctx := context.Background()
	return imagefs.FS{Source: proof.Files{Catalog: m.cat,
		Points: func() ([]Point, error) {
			newest, _, err := m.Points(ctx, PointsQuery{Limit: 1000})
			return newest, err
		},
		Look: func(id string) (imagefs.Image, error) { return lookInside(ctx, m, id) }}}
}

// inside calls look with the image inside a backup, a recovery point or the database itself.
func inside[T any](ctx context.Context, m *Manager, what, id string, look func(proof.Inside) (T, error)) (done T, err error) {
	i, err := lookInside(ctx, m, id)
	if err != nil {
		return done, fmt.Errorf("%s: %w", what, err)
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	if done, err = look(i); err != nil {
		var none T
		return none, explain(fmt.Errorf("%s %s: %w", what, id, err))
	}
	return done, nil
}

// lookInside opens the image of a backup, a recovery point or the database itself.
func lookInside(ctx context.Context, m *Manager, id string) (proof.Inside, error) {
	if id == Live {
		return proof.LookLive(ctx, m.cfg.Database, m.cfg.LockWait)
	}
	return proverOf(context.WithoutCancel(ctx), m, Event{}).Look(ctx, id)
}
