package restore

import (
	"context"
	"errors"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// Commit is how a restore commits; a test may have it fail.
var Commit = (*pages.WriteTx).Commit

// commitError: a COMMIT failed. SQLite may have passed its point of no return.
type commitError struct{ err error }

func (e *commitError) Error() string { return "restore: commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// pend records a restore whose transaction is complete except for its
// commit: if the process dies right after that, nothing else says that it was made.
func (r *restoring) pend(tx *pages.WriteTx) {
	o := r.outcome()
	r.Memory.Update("restore", func(s *catalog.State) { s.Restoring = &catalog.Restoring{RestoreOutcome: o, Cookie: tx.Cookie()} })
}

// Resolve finds out whether a pending restore was committed when its process died, and records it. id is what was
// restored, "" where none is pending. The caller holds the operation lock. Where the database cannot be read, the next
// operation tries again.
func (r *Restorer) Resolve(ctx context.Context) (id string, committed bool, err error) {
	state, err := r.Catalog.State()
	if err != nil || state.Restoring == nil {
		return "", false, nil // an operation that needs the state gets the error
	}
	id = state.Restoring.ID
	now, err := r.schemaCookie(ctx)
	if err != nil {
		return id, false, err
	}
	committed = pages.Committed(state.Restoring.Cookie, now)
	r.Memory.UpdateTx("restore", func(tx *catalogfile.Tx) {
		switch pending := tx.State().Restoring; {
		case pending == nil || !committed:
		case pending.Rows != nil:
			tx.State().LastRows = pending.Rows
		default:
			tx.Restored(pending.RestoreOutcome)
		}
		tx.State().Restoring = nil
	})
	return id, committed, nil
}

// schemaCookie is that of the database: each commit of a restore changes it by a step of its own.
func (r *Restorer) schemaCookie(ctx context.Context) (c uint32, err error) {
	s, err := r.Safety.BeginRead(ctx, r.LockWait, livedb.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return uint32(s.Info().SchemaVersion), nil
}
