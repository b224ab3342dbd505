package rowdiff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlite"
)

// Live is a pinned state of a live database. It is for one goroutine.
type Live struct {
	Side
	shape  archive.Shape
	read   func(n uint32, page []byte) error
	copyTo func(context.Context, io.Writer) error
	close  func() error
}

// OpenLive pins the state that the database at path has now. In WAL mode it is read where it is; in the rollback-journal
// modes, in which writers would wait, it is copied to a private file in scratch first. Locks are waited for as long as wait. Errors:
// livedb.Begin's.
func OpenLive(ctx context.Context, path, scratch string, wait time.Duration) (_ *Live, err error) {
	begin, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	snap, err := pages.Begin(begin, path, livedb.Options{ScratchDir: scratch, AvoidReadMark0: true})
	if err != nil {
		return nil, err
	}
	if !snap.InPlace() || snap.Info().JournalMode == "wal" {
		return inPlace(snap)
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	return spooled(ctx, snap, scratch)
}

func liveOf(conn *sqlite.Conn, info livedb.Info) *Live {
	return &Live{Side: Side{Conn: conn, Bytes: info.Bytes()}, shape: archive.Shape{PageSize: info.PageSize, PageCount: info.PageCount}}
}

// inPlace reads the state in its transaction.
func inPlace(snap *pages.Snapshot) (*Live, error) {
	l := liveOf(snap.Conn(), snap.Info())
	l.copyTo = func(ctx context.Context, w io.Writer) error { return snap.CopyTo(ctx, w, nil) }
	l.close = snap.Close
	if l.shape.PageCount == 0 {
		return l, nil
	}
	read, end, err := snap.Pages()
	if err != nil {
		return nil, errors.Join(err, snap.Close())
	}
	l.read, l.close = read, func() error { end(); return snap.Close() }
	return l, nil
}

// spooled reads a copy of the state.
func spooled(ctx context.Context, snap *pages.Snapshot, scratch string) (*Live, error) {
	info := snap.Info()
	if err := durable.Preflight(scratch, info.Bytes()); err != nil {
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
	l := liveOf(conn, info)
	l.copyTo = func(ctx context.Context, w io.Writer) error { return file.CopyTo(ctx, w, info.Bytes(), func(int64) {}) }
	l.read = func(n uint32, page []byte) error {
		_, err := file.ReadAt(page, int64(n-1)*int64(len(page)))
		return err
	}
	l.close = func() error { return errors.Join(conn.Close(), file.Close()) }
	return l, nil
}

// Close ends the transaction, or removes the copy.
func (l *Live) Close() error { return l.close() }
