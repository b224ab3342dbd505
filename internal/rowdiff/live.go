package rowdiff

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlite"
)

// Live is a pinned state of a live database.
type Live struct {
	Side
	close func() error
}

// OpenLive pins the state that the database at path has now. In WAL mode it is read where it is; in the rollback-journal
// modes, in which writers would wait, it is copied to a private file in scratch first. Errors: livedb.Begin's.
func OpenLive(ctx context.Context, path, scratch string) (_ *Live, err error) {
	snap, err := pages.Begin(ctx, path, livedb.Options{ScratchDir: scratch})
	if err != nil {
		return nil, err
	}
	if !snap.InPlace() || snap.Info().JournalMode == "wal" {
		return &Live{Side{Conn: snap.Conn(), Bytes: snap.Info().Bytes()}, snap.Close}, nil
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	size := snap.Info().Bytes()
	if err := durable.Preflight(scratch, size); err != nil {
		return nil, fmt.Errorf("copy the database: %w", err)
	}
	file, err := durable.Scratch(scratch, "diff")
	if err != nil {
		return nil, err
	}
	if err := snap.Spool(ctx, file, func(int64) {}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	conn, err := sqlite.Open(file.Name(), sqlite.Options{Immutable: true, Untrusted: true})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Live{Side{Conn: conn, Bytes: size}, func() error { return errors.Join(conn.Close(), file.Close()) }}, nil
}

// Close ends the transaction, or removes the copy.
func (l *Live) Close() error { return l.close() }
