package pages

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// Mark is by what the state that a Snapshot has pinned is known again under the lock of
// a WriteTx. It is good while the Snapshot is not closed.
type Mark struct {
	s     *Snapshot
	page1 []byte
	main  livedb.FileMark
}

// Mark marks the state of s. It is nil, with no error, where nothing would tell that
// state from another one: of a private copy, or where the system does not say whether
// the file has been replaced.
func (s *Snapshot) Mark(ctx context.Context) (*Mark, error) {
	if s.conn == nil || s.private != nil || s.inWrite || s.info.PageCount == 0 {
		return nil, nil
	}
	if _, err := s.conn.Moved(); err != nil {
		return nil, nil
	}
	// Nobody writes into the file while the transaction lasts, but for a checkpoint.
	files, err := livedb.TakeFingerprint(s.path)
	if err != nil {
		return nil, explain("snapshot", s.path, err)
	}
	_, page1, err := readInfo(ctx, s.conn)
	if err != nil {
		return nil, explain("snapshot", s.path, err)
	}
	return &Mark{s: s, page1: page1, main: files.Main}, nil
}

// Release ends the transaction of s, so that writers need not wait in the
// rollback-journal modes, and keeps the connection for its Mark. Nothing can be read of
// s any more.
func (s *Snapshot) Release(ctx context.Context) error {
	if s.conn == nil || s.inWrite {
		return nil
	}
	if err := s.conn.Exec(ctx, "COMMIT"); err != nil {
		return explain("snapshot", s.path, err)
	}
	return nil
}

// Still reports whether what t is about to replace is the very state of m: the same
// file, and no commit in between. Any doubt is no.
//
// In the rollback-journal modes a commit shows in page 1, as SQLite itself goes by it when it
// trusts pages that it has in memory: every transaction counts its change counter on. In
// WAL mode it shows by what tells a twin (see Snapshot.Twin): the Snapshot of m must still have its
// transaction, and is compared with another one that is begun under the lock of t.
//
// What came into the file without a commit shows in its times: of a transaction that had
// no journal and did not end, or of a program that writes over it.
func (t *WriteTx) Still(ctx context.Context, m *Mark) (bool, error) {
	if m == nil || t.state != writeOpen || m.s.conn == nil {
		return false, nil
	}
	if m.s.before.wal < 0 {
		t.before.wal = -1 // the log is there because of us; see end
	}
	if m.s.info != t.snap.info || !bytes.Equal(m.page1, t.page1) {
		return false, nil
	}
	for _, c := range []*sqlite.Conn{m.s.conn, t.conn} {
		if moved, err := c.Moved(); err != nil || moved {
			return false, err
		}
	}
	files, err := livedb.TakeFingerprint(t.path)
	if err != nil {
		return false, explain("write", t.path, err)
	}
	if files.Main != m.main { // nor is it where a link on the way to it now leads elsewhere
		return false, nil
	}
	if t.snap.info.JournalMode != "wal" {
		return true, nil
	}
	if err := t.Pair(ctx); err != nil || t.snap.twin == nil {
		return false, err
	}
	if _, ok := m.s.conn.LogPosition(); !ok {
		if n, err := size(t.path + "-wal"); err != nil || n > walHeader {
			return false, err // there may be a log of which we were not told
		}
	}
	return sameState(m.s, t.snap.twin), nil
}

// walHeader is the size of a log without frames.
const walHeader = 32

// Pair gives the Snapshot of t a twin. Nobody commits while t has its lock, so that
// whoever begins to read sees the same. Where it cannot be had there is none. The next
// Replace, Commit or Rollback closes it.
func (t *WriteTx) Pair(ctx context.Context) error {
	if t.state != writeOpen || t.snap.twin != nil || t.snap.info.PageCount == 0 {
		return nil
	}
	c, info, err := begin(ctx, t.path, sqlite.Options{ReadOnly: true, Untrusted: true})
	if err != nil {
		return ctx.Err()
	}
	twin := &Snapshot{path: t.path, conn: c, info: info, inWrite: true}
	moved, err := c.Moved()
	if err != nil || moved || info != t.snap.info {
		return errors.Join(c.Close(), ctx.Err())
	}
	t.snap.twin = twin
	return nil
}

// part closes the twin.
func (t *WriteTx) part() error {
	if t.snap == nil || t.snap.twin == nil {
		return nil
	}
	err := t.snap.twin.conn.Close()
	t.snap.twin = nil
	if err != nil {
		return fmt.Errorf("close %s: %w", t.path, err)
	}
	return nil
}
