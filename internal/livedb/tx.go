package livedb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Tx is a read transaction: one committed state of a database, pinned until Close. It
// belongs to one goroutine at a time.
type Tx struct {
	path     string
	choice   Choice
	conn     *sqlite.Conn
	info     Info
	page1    []byte
	files    Files // what was there when we came
	tidies   bool  // Close removes what SQLite created for our reading
	private  *durable.ScratchFile
	borrowed bool // the transaction is the caller's, who writes in it
	second   *Tx
	pinned   time.Time
}

// Pinned is a time right before the state that t sees was pinned.
func (t *Tx) Pinned() time.Time { return t.pinned }

// Info says what the image is.
func (t *Tx) Info() Info { return t.info }

// Path is the database's path, free of symbolic links.
func (t *Tx) Path() string { return t.path }

// Choice is the strategy by which the database is read, and its reason.
func (t *Tx) Choice() Choice { return t.choice }

// Position is how far into the log t sees; ok is false where there is no log, or
// nothing in it.
func (t *Tx) Position() (p sqlite.LogPosition, ok bool) { return t.conn.LogPosition() }

// LogIndex is the header of the log's index that t goes by; ok is false where there is no log,
// one that was never used, or a private copy's.
func (t *Tx) LogIndex() (x sqlitefile.WALIndex, ok bool) {
	if t.private != nil {
		return x, false
	}
	return t.conn.LogIndex()
}

// InPlace reports whether t reads the database itself, and not a private copy.
func (t *Tx) InPlace() bool { return t.private == nil }

// Page1 is the first page as the transaction sees it; empty in a database without pages.
func (t *Tx) Page1() []byte { return t.page1 }

// Conn returns the connection whose open transaction t is, for checks of the same
// state. It must not end the transaction, and every statement must be closed before
// Close.
func (t *Tx) Conn() *sqlite.Conn { return t.conn }

// Within is the state that the open transaction of conn sees, a write transaction on
// the database at the resolved path real. Its Close does nothing.
func Within(ctx context.Context, real string, conn *sqlite.Conn) (*Tx, error) {
	t := &Tx{path: real, conn: conn, borrowed: true, pinned: time.Now()}
	var err error
	t.info, t.page1, err = readInfo(ctx, conn)
	return t, err
}

// errReadOnly says that a connection that is to write may not: SQLite then leaves CHECK
// constraints out of its checks without a word.
var errReadOnly = fmt.Errorf("%w to write to the file", ErrPermission)

// Open opens the database in place by choice, and begins a read transaction. Its state
// is pinned by the first statement that reads, which is the caller's, and which fails where
// SQLite refuses (see Refused). The state of an Immutable one has to be proven
// afterwards: see Files.Recheck.
func (f Files) Open(ctx context.Context, choice Choice) (*Tx, error) {
	conn, err := connect(ctx, f.path, sqlite.Options{
		ReadOnly: choice.Strategy == InPlaceReadOnly, Immutable: choice.Strategy == Immutable, Untrusted: true,
	})
	if err != nil {
		return nil, err
	}
	if choice.Strategy == InPlace {
		only, err := conn.ReadOnly()
		if err == nil && only {
			err = errReadOnly
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return &Tx{path: f.path, choice: choice, conn: conn, files: f}, nil
}

// connect opens the file at path and begins a transaction that only reads.
func connect(ctx context.Context, path string, o sqlite.Options) (*sqlite.Conn, error) {
	c, err := sqlite.Open(path, o)
	if err != nil {
		return nil, err
	}
	if err := c.Exec(ctx, "PRAGMA query_only=1; BEGIN"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// pin reads for the first time: BEGIN alone takes no lock.
func (t *Tx) pin(ctx context.Context) (err error) {
	t.pinned = time.Now()
	if err := t.conn.Exec(ctx, "PRAGMA schema_version"); err != nil {
		return err
	}
	t.info, t.page1, err = readInfo(ctx, t.conn)
	return err
}

// beginPrivate copies the database, lets SQLite recover the copy, and pins that.
func beginPrivate(ctx context.Context, files Files, choice Choice, scratchDir string) (_ *Tx, err error) {
	if files, err = Look(files.path); err != nil {
		return nil, err
	}
	scratch, err := files.Copy(ctx, scratchDir)
	if err != nil {
		return nil, err
	}
	c, err := connect(ctx, scratch.Name(), sqlite.Options{Untrusted: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("private copy: %w", err), scratch.Close())
	}
	t := &Tx{path: files.path, choice: choice, conn: c, private: scratch}
	if err := t.pin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("private copy: %w", err), t.Close())
	}
	return t, nil
}

// Prefetch begins to bring the database file into memory, in order, for a caller who
// reads it in another one: see the function Prefetch. A private copy is there already.
func (t *Tx) Prefetch(ctx context.Context) (stop func()) {
	if t.private != nil {
		return func() {}
	}
	return Prefetch(ctx, t.path)
}

// ImageFile opens the database file where it is the image of t, byte for byte, and is
// nil where there is any doubt.
//
// It is in the rollback-journal modes. The SHARED lock of t keeps every process from the
// EXCLUSIVE one that writing into the file takes, no journal is hot under it, and the
// reading transaction has nothing of its own.
func (t *Tx) ImageFile(ctx context.Context) *File {
	if t.private != nil || t.borrowed || t.info.PageCount == 0 {
		return nil
	}
	// Not from the header: of its two versions this follows the one that SQLite goes by.
	if mode, err := t.conn.Text(ctx, "PRAGMA journal_mode"); err != nil || mode == "wal" {
		return nil
	}
	f, err := Open(t.path)
	if err != nil {
		return nil
	}
	moved, err := t.conn.Moved() // after Open: what we have open is what the path named
	size, serr := f.Size()
	if err != nil || serr != nil || moved || size < t.info.Bytes() {
		_ = f.Close() // read only, and the caller reads it all again through SQLite
		return nil
	}
	return f
}

// Release ends the transaction, so that writers need not wait in the rollback-journal
// modes, and keeps the connection for its Token. Nothing can be read any more.
func (t *Tx) Release(ctx context.Context) error {
	if t.conn == nil || t.borrowed {
		return nil
	}
	if err := t.conn.Exec(ctx, "COMMIT"); err != nil {
		return Explain("snapshot", t.path, err)
	}
	return nil
}

// Close ends the transaction and removes what is next to the database only because of
// us. It may be called twice, and of nil. On the state of a write transaction it does nothing.
func (t *Tx) Close() error {
	if t == nil || t.conn == nil || t.borrowed {
		return nil
	}
	if err := t.CloseSecondReader(); err != nil {
		return err
	}
	err := t.conn.Close() // ends the transaction
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", t.path, err)
	}
	t.conn = nil
	if t.private != nil {
		return t.private.Close()
	}
	if !t.tidies && (t.files.WAL.Size == 0 || t.choice.Strategy == Immutable) {
		return nil // SQLite had all its files
	}
	if err := t.files.tidy(); err != nil {
		return fmt.Errorf("snapshot %s: tidy up: %w", t.path, err)
	}
	return nil
}

// size returns the size of a file, -1 when there is none.
func size(path string) (int64, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
