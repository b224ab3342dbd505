package pages

import (
	"context"
	"errors"

	"example.com/snapd/internal/sqlite"
)

// maxTwins is how often a writer may commit between our two beginnings: they are about
// a millisecond apart.
const maxTwins = 50

// Twin is a second snapshot of the very state that s has pinned, on a connection of its
// own, so that one goroutine can check it while another copies s. It was asked for with
// Options.Twin; nil where there could be none: in rollback-journal modes, where a
// private copy was made, where a writer was faster each time. Close ends it with s.
func (s *Snapshot) Twin() *Snapshot { return s.twin }

// pair gives s a twin. A writer that commits between the two beginnings makes them
// differ: s then moves on to the later state, and another is begun.
//
// Two read transactions of a WAL database see the same state when they see the same
// frame of the same generation of the log; that is what SQLite's own
// sqlite3_snapshot_cmp goes by. Where s sees no frame at all it holds the lock (read
// mark 0) without which no checkpoint may change the database file, so that a
// transaction that sees no frame either reads the same file.
func (s *Snapshot) pair(ctx context.Context) error {
	if s.private != nil || s.info.JournalMode != "wal" || s.info.PageCount == 0 {
		return nil
	}
	for range maxTwins {
		before, err := lookBeside(s.path)
		if err != nil {
			return err
		}
		c, info, err := begin(ctx, s.path, sqlite.Options{ReadOnly: true, Untrusted: true})
		if err != nil {
			if ctx.Err() == nil && (isBusy(err) || refusedInPlace(err)) {
				continue
			}
			return err
		}
		t := &Snapshot{path: s.path, conn: c, info: info, before: before}
		if sameState(s, t) {
			s.twin = t
			return nil
		}
		if info.JournalMode != "wal" {
			return errors.Join(t.Close(), ctx.Err())
		}
		s.conn, t.conn, s.info = t.conn, s.conn, info
		if err := errors.Join(t.Close(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

func sameState(s, t *Snapshot) bool {
	a, logA := s.conn.LogPosition()
	b, logB := t.conn.LogPosition()
	return a == b && logA == logB && s.info == t.info
}
