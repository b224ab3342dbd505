package pages

import (
	"context"
	"errors"

	"example.com/snapd/internal/sqliteconn"
)

// maxTwins is how often a writer may commit between our two beginnings.
const maxTwins = 5

// Twin begins a second snapshot of the very state that s has pinned, on a connection
// of its own, so that one goroutine can check it while another copies it. It is nil,
// without an error, where that cannot be: in rollback-journal modes, where a private
// copy was made, and where a writer was faster each time. Close it before s.
//
// Two read transactions of a WAL database see the same state when they see the same
// frame of the same generation of the log; that is what SQLite's own
// sqlite3_snapshot_cmp goes by. Where s sees no frame at all it holds the lock (read
// mark 0) without which no checkpoint may change the database file, so that a
// transaction that sees no frame either reads the same file.
func (s *Snapshot) Twin(ctx context.Context) (*Snapshot, error) {
	if s.private != nil || s.inWrite || s.info.JournalMode != "wal" || s.info.PageCount == 0 {
		return nil, nil
	}
	at, ok := s.conn.LogPosition()
	for range maxTwins {
		before, err := lookBeside(s.path)
		if err != nil {
			return nil, err
		}
		c, info, err := begin(ctx, s.path, sqliteconn.Options{ReadOnly: true, Hostile: true})
		if err != nil {
			if ctx.Err() == nil && (isBusy(err) || refusedInPlace(err)) {
				continue
			}
			return nil, explain("snapshot", s.path, err)
		}
		t := &Snapshot{path: s.path, conn: c, info: info, before: before}
		if got, gotOK := c.LogPosition(); gotOK == ok && got == at && info == s.info {
			return t, nil
		}
		if err := errors.Join(t.Close(), ctx.Err()); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
