package livedb

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/sqlite"
)

// maxSecondReaders is how often a writer may commit between our two beginnings: they are
// about a millisecond apart.
const maxSecondReaders = 50

// SecondReader is a second transaction of the very state that t has pinned, on a connection
// of its own, so that one goroutine can check it while another copies t. Nil where there is
// none: not asked for, in rollback-journal modes, of a private copy, or when a writer was
// faster each time. Close closes it with t.
func (t *Tx) SecondReader() *Tx { return t.second }

// OpenSecondReader gives t a second reader, where one can be had. A writer that commits
// between the two beginnings makes them differ: t then moves on to the later state, and
// another is begun.
//
// Two read transactions of a WAL database see the same state when they see the same
// frame of the same generation of the log; that is what SQLite's own
// sqlite3_snapshot_cmp goes by. Where t sees no frame at all it holds the lock (read
// mark 0) without which no checkpoint may change the database file, so that a
// transaction that sees no frame either reads the same file.
//
// Of a write transaction (see Within) it is in every journal mode: no other connection commits while that
// has its lock.
func (t *Tx) OpenSecondReader(ctx context.Context) error {
	switch {
	case t.second != nil || t.private != nil || t.info.PageCount == 0:
		return nil
	case t.borrowed:
		return t.secondOfWriter(ctx)
	case t.info.JournalMode != "wal":
		return nil
	}
	for range maxSecondReaders {
		second, err := t.beginAgain(ctx)
		if err != nil {
			if ctx.Err() == nil && (isBusy(err) || Refused(err)) {
				continue
			}
			return err
		}
		if sameState(t, second) {
			t.second = second
			return nil
		}
		if second.info.JournalMode != "wal" {
			return errors.Join(second.Close(), ctx.Err())
		}
		t.conn, second.conn, t.info, t.page1, t.pinned = second.conn, t.conn, second.info, second.page1, second.pinned
		if err := errors.Join(second.Close(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) secondOfWriter(ctx context.Context) error {
	second, err := t.beginAgain(ctx)
	if err != nil {
		return ctx.Err()
	}
	moved, err := second.conn.Moved()
	if err != nil || moved || second.info != t.info {
		return errors.Join(second.Close(), ctx.Err())
	}
	t.second = second
	return nil
}

// beginAgain begins another transaction on the file of t.
func (t *Tx) beginAgain(ctx context.Context) (*Tx, error) {
	c, err := connect(ctx, t.path, sqlite.Options{ReadOnly: true, Untrusted: true})
	if err != nil {
		return nil, err
	}
	second := &Tx{path: t.path, choice: t.choice, conn: c}
	if err := second.pin(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return second, nil
}

// CloseSecondReader closes it, if there is one: its lock would be in a writer's way.
func (t *Tx) CloseSecondReader() error {
	if t == nil || t.second == nil {
		return nil
	}
	if err := t.second.conn.Close(); err != nil {
		return fmt.Errorf("close the second reader of %s: %w", t.path, err)
	}
	t.second.conn, t.second = nil, nil
	return nil
}

func sameState(a, b *Tx) bool {
	at, logA := a.Position()
	bt, logB := b.Position()
	return at == bt && logA == logB && a.info == b.info
}
