package pages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// WriteTx is one write transaction on a live database. No other connection can write
// while it is open; readers are welcome, in the rollback-journal modes until
// Replace needs room or Commit begins.
type WriteTx struct {
	wait    time.Duration // how long one lock is waited for
	path    string
	conn    *sqlite.Conn
	ownLog  bool // there was no -wal at the beginning
	snap    *Snapshot
	page1   []byte
	cookie  uint32 // that Replace has set
	damage  error
	closing error // from closing the connection
	state   writeState
}

// writeState is how far a WriteTx has come.
type writeState int

const (
	writeOpen   writeState = iota
	writeBroken            // Replace or Commit failed halfway: only Rollback is left
	writeEnded
)

// BeginWrite starts a write transaction (BEGIN IMMEDIATE) on the database at
// path. Each wait for others' locks, here, in Replace and in Commit, lasts until
// its ctx ends or for at most wait, then ErrBusy. A pending rollback or WAL
// recovery is done by SQLite, as for any writer. It opens damaged databases too where SQLite can at all: see Damage.
func BeginWrite(ctx context.Context, path string, wait time.Duration) (*WriteTx, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var t *WriteTx
	err := livedb.Wait(ctx, func() error {
		real, err := livedb.Locate(path)
		if err == nil {
			t, err = attemptWrite(ctx, real)
		}
		return err
	})
	if err != nil {
		return nil, livedb.Explain("write", path, err)
	}
	t.wait = wait
	return t, nil
}

func attemptWrite(ctx context.Context, real string) (*WriteTx, error) {
	log, err := livedb.LogExists(real)
	if err != nil {
		return nil, err
	}
	t := &WriteTx{path: real, ownLog: !log}
	if t.conn, err = sqlite.Open(real, sqlite.Options{}); err != nil {
		return nil, err
	}
	// Bounded memory: dirty pages leave the cache for the WAL or the file. And no
	// checkpoint after the commit: that is for the database's owner.
	if err = t.conn.Exec(ctx, "PRAGMA cache_spill=ON; PRAGMA wal_autocheckpoint=0"); err == nil {
		err = t.mayWrite()
	}
	if err == nil {
		err = t.start(ctx)
	}
	if sqlite.Classify(err) == sqlite.ClassCorrupt {
		t.damage = livedb.Explain("write", real, err)
		err = t.startDamaged(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, t.end())
	}
	return t, nil
}

// mayWrite rejects a file that SQLite could open for reading only.
func (t *WriteTx) mayWrite() error {
	const sqliteReadOnly = 8 // https://www.sqlite.org/rescode.html
	readOnly, err := t.conn.ReadOnly()
	if err == nil && readOnly {
		err = &sqlite.Error{Op: "open for writing", Code: sqliteReadOnly, Msg: "attempt to write a readonly database"}
	}
	return err
}

func (t *WriteTx) start(ctx context.Context) error {
	if err := t.conn.Exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	state, err := livedb.Within(ctx, t.path, t.conn)
	if err != nil {
		return err
	}
	t.page1, t.snap = state.Page1(), &Snapshot{state}
	return nil
}

// startDamaged starts on a database whose schema cannot be parsed or whose file
// is shorter than its header says. With writable_schema SQLite goes by the file's
// size, and by what it understood of the schema from the second statement on.
func (t *WriteTx) startDamaged(ctx context.Context) error {
	if err := t.conn.Exec(ctx, "PRAGMA writable_schema=ON"); err != nil {
		return err
	}
	_ = t.conn.Exec(ctx, "ROLLBACK") // fails when BEGIN was what failed
	err := t.start(ctx)
	if sqlite.Classify(err) == sqlite.ClassCorrupt {
		_ = t.conn.Exec(ctx, "ROLLBACK") // as above
		err = t.start(ctx)
	}
	return err
}

// Snapshot is the state before any Replace, in the same transaction: what is
// copied from it is what Replace replaces. Its Close does nothing.
func (t *WriteTx) Snapshot() *Snapshot { return t.snap }

// Damage returns why SQLite called the database damaged when it was opened
// (ErrCorrupt), or nil. Checks on the Snapshot's connection then tolerate a schema
// that they would otherwise report.
func (t *WriteTx) Damage() error { return t.damage }

// Matches reports whether what t is about to replace is the very state of token; nil
// matches nothing. It leaves the Snapshot of t with a second reader.
func (t *WriteTx) Matches(ctx context.Context, token *livedb.Token) (bool, error) {
	if token == nil || t.state != writeOpen {
		return false, nil
	}
	t.ownLog = t.ownLog || token.CreatedLog()
	return token.Matches(ctx, t.snap.Tx)
}

// OpenSecondReader gives the Snapshot of t a second reader (see livedb.Tx.SecondReader). Where it
// cannot be had there is none. The next Replace, Commit or Rollback closes it.
func (t *WriteTx) OpenSecondReader(ctx context.Context) error {
	if t.state != writeOpen {
		return nil
	}
	return t.snap.OpenSecondReader(ctx)
}

// Change has fn change the database by SQL, and sets the schema cookie ahead as Replace does; see [Committed]. After an
// error, which is fn's, the transaction can only be rolled back.
func (t *WriteTx) Change(ctx context.Context, fn func(*sqlite.Conn) error) error {
	if t.state != writeOpen {
		return fmt.Errorf("change %s: the transaction has ended", t.path)
	}
	if err := t.snap.CloseSecondReader(); err != nil { // whose lock would be in the way
		return err
	}
	t.state = writeBroken
	if err := fn(t.conn); err != nil {
		return err
	}
	now, err := t.conn.Int(ctx, "PRAGMA schema_version")
	if err == nil {
		t.cookie = max(uint32(now)+cookieStep, 1)
		err = t.conn.Exec(ctx, fmt.Sprintf("PRAGMA schema_version=%d", int32(t.cookie)))
	}
	if err != nil {
		return livedb.Explain("change", t.path, err)
	}
	t.state = writeOpen
	return nil
}

// Commit makes the replacement visible to every reader, atomically. Readers that are
// in the way are waited for as BeginWrite says, within ctx; after ErrBusy the
// transaction is still open: try again or Rollback. After any other error only Rollback is left.
func (t *WriteTx) Commit(ctx context.Context) error {
	const op = "commit to"
	switch t.state {
	case writeBroken:
		return fmt.Errorf("%s %s: a write failed before: roll back", op, t.path)
	case writeEnded:
		return fmt.Errorf("%s %s: the transaction has ended", op, t.path)
	}
	if err := t.snap.CloseSecondReader(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.wait)
	defer cancel()
	err := livedb.Wait(ctx, func() error { return t.conn.Exec(context.WithoutCancel(ctx), "COMMIT") })
	if err != nil {
		if err = livedb.Explain(op, t.path, err); !errors.Is(err, livedb.ErrBusy) {
			t.state = writeBroken
		}
		return err
	}
	t.state = writeEnded
	t.closing = t.end() // Rollback returns it: the commit is done
	return nil
}

// Rollback ends the transaction and leaves the database as it was. Defer it: after
// Commit it changes nothing, and returns only the error of closing the connection.
func (t *WriteTx) Rollback() error {
	if t.state != writeEnded {
		undo := t.undo
		if t.state == writeOpen {
			undo = func() error { return nil } // closing rolls back
		}
		t.state = writeEnded
		t.closing = errors.Join(undo(), t.end())
	}
	if t.closing != nil {
		return fmt.Errorf("close %s: %w", t.path, t.closing)
	}
	return nil
}

// undoTime is what a rollback gets at least: it writes back what was written, and is no wait for a lock.
const undoTime = 30 * time.Second

// undo rolls back what a write that failed has left in the file. SQLite's own rollback then
// leaves it, with its journal, to the next one who reads: that is here, and not the application.
func (t *WriteTx) undo() error {
	ctx, cancel := context.WithTimeout(context.Background(), max(t.wait, undoTime))
	defer cancel()
	_ = t.conn.Exec(ctx, "ROLLBACK") // fails where the failed write has ended the transaction
	return livedb.Wait(ctx, func() error { return t.conn.Exec(ctx, "PRAGMA schema_version") })
}

// end closes the connection. If the database was not open before, the
// WAL holds our transaction only, and SQLite folds it in as for any application
// that closes; else the WAL is left to those who use it.
func (t *WriteTx) end() error {
	var err error
	if t.snap != nil {
		err = t.snap.CloseSecondReader()
	}
	if t.ownLog {
		err = errors.Join(err, t.conn.CheckpointOnClose())
	}
	return errors.Join(err, t.conn.Close())
}
