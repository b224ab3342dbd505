package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/progress"
	"example.com/snapd/internal/rowdiff"
)

// Inside is the image inside a backup, as SQLite sees it and by its pages.
type Inside struct {
	*inspect.Image
	ID    string        // as the catalog has it
	pages archive.Image // nil of the database itself
	close func() error
}

// Close frees the image and the archive.
func (i Inside) Close() error { return i.close() }

// State is a stored image as a state that can be compared; closing it frees the image, too.
func (i Inside) State() (rowdiff.State, error) {
	conn, err := i.Conn()
	if err != nil {
		return rowdiff.State{}, errors.Join(err, i.Close())
	}
	return rowdiff.State{Side: &rowdiff.Side{Conn: conn, Bytes: i.Size(), Explain: i.Explain, Keep: i.Keep}, Pages: i.pages, Failed: i.Failed,
		Close: func() error { return errors.Join(conn.Close(), i.Close()) }}, nil
}

// LookLive pins the state that the database at path has now. Locks are waited for as long as wait.
func LookLive(ctx context.Context, path string, wait time.Duration) (Inside, error) {
	image, err := inspect.Live(ctx, path, "", wait)
	if err != nil {
		return Inside{}, failure.Explain(err)
	}
	return Inside{Image: image, ID: rowdiff.LiveID, close: image.Close}, nil
}

// Look opens the image of the backup or recovery point with an id for SQLite to read. A damaged archive is marked failed, also
// when that shows in a later read.
func (p *Prover) Look(ctx context.Context, id string) (Inside, error) {
	e, err := Find(ctx, p.Catalog, id)
	if err != nil {
		return Inside{}, failure.Explain(err)
	}
	r, err := p.Open(ctx, e)
	if err != nil {
		return Inside{}, failure.Explain(err)
	}
	ctx = context.WithoutCancel(ctx)
	image, err := inspect.New(r, r.Shape().Bytes(), e.CreatedAt, func(err error) {
		if err = failure.Explain(p.Failed(ctx, r, fmt.Errorf("%s: %w", Named(e), err))); errors.Is(err, failure.ErrCorrupt) {
			p.Warn(progress.Warning{Backup: e.ID, Path: Path(p.Catalog, e), Err: err, Message: "an open " + Kind(e) + " is damaged"})
		}
	})
	if err != nil {
		return Inside{}, errors.Join(err, r.Close())
	}
	return Inside{image, e.ID, r, func() error { return errors.Join(image.Close(), r.Close()) }}, nil
}
