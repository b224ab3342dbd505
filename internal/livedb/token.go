package livedb

import (
	"bytes"
	"context"

	"example.com/snapd/internal/sqlitefile"
)

// Token identifies the state that a Tx has pinned: it is recognised again under the lock
// of a write transaction. It is good while the Tx is not closed.
type Token struct {
	tx   *Tx
	main FileState
}

// Token returns the state token of t. It is nil, with no error, where nothing distinguishes that
// state from another one: of a private copy, or where the system does not say whether
// the file has been replaced.
func (t *Tx) Token() (*Token, error) {
	if t.conn == nil || t.private != nil || t.borrowed || t.info.PageCount == 0 {
		return nil, nil
	}
	if _, err := t.conn.Moved(); err != nil {
		return nil, nil
	}
	// While the transaction lasts, only a checkpoint writes into the file.
	files, err := TakeFingerprint(t.path)
	if err != nil {
		return nil, Explain("snapshot", t.path, err)
	}
	return &Token{tx: t, main: files.Main}, nil
}

// CreatedLog reports whether there is a -wal because of the token's transaction only.
func (k *Token) CreatedLog() bool { return !k.tx.files.WAL.Present }

// Matches reports whether w, the state of a write transaction (see Within), is the very
// state of k: the same file, and no commit in between. Any doubt is no.
//
// In the rollback-journal modes a commit shows in page 1, as SQLite itself goes by it when it
// trusts pages that it has in memory: every transaction counts its change counter on. In
// WAL mode the evidence of a second reader shows it (see OpenSecondReader): the Tx of k
// must still have its transaction, and is compared with one that is begun under the lock of w.
//
// What came into the file without a commit shows in its times: of a transaction that had
// no journal and did not end, or of a program that writes over it.
func (k *Token) Matches(ctx context.Context, w *Tx) (bool, error) {
	t := k.tx
	if t.conn == nil || t.info != w.info || !bytes.Equal(t.page1, w.page1) {
		return false, nil
	}
	for _, x := range []*Tx{t, w} {
		if moved, err := x.conn.Moved(); err != nil || moved {
			return false, err
		}
	}
	files, err := TakeFingerprint(w.path)
	if err != nil {
		return false, Explain("write", w.path, err)
	}
	if files.Main != k.main { // nor is it where a link on the way to it now leads elsewhere
		return false, nil
	}
	if w.info.JournalMode != "wal" {
		return true, nil
	}
	if err := w.OpenSecondReader(ctx); err != nil || w.second == nil {
		return false, err
	}
	if _, ok := t.Position(); !ok && files.WAL.Size > sqlitefile.WALHeaderSize {
		return false, nil // there may be a log that SQLite does not report
	}
	return sameState(t, w.second), nil
}
