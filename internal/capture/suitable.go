package capture

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// Why a database cannot be captured; each lasts until a person changes something.
var (
	// ErrCopyOnly: it cannot be read in place, for want of rights to its directory or index, or
	// because a transaction has to be rolled back first.
	ErrCopyOnly = livedb.ErrCopyOnly
	// ErrExclusive: a process has the database in WAL mode to itself. Wraps livedb.ErrBusy.
	ErrExclusive = errors.New("a process has it locked, where readers of a log need not wait: with locking_mode=EXCLUSIVE nothing can be captured")
	// ErrForeignLog: the log or the file is not of a format that SQLite has.
	ErrForeignLog = errors.New("its format is not one that SQLite has")
	// ErrNetwork: the locks and the shared memory of such a file system cannot be relied on.
	ErrNetwork = errors.New("it is on a file system of the network")
)

// fileSystemOf is changed by tests.
var fileSystemOf = livedb.FileSystemOf

// begin pins a state of a database that can be captured.
func (c *Chain) begin(ctx context.Context, files livedb.Files) (*livedb.Tx, error) {
	if err := errors.Join(c.pin.ready(), suitable(c.path, files)); err != nil {
		return nil, err
	}
	tx, err := livedb.Begin(ctx, c.path, livedb.Options{InPlace: true})
	if errors.Is(err, livedb.ErrBusy) && files.UsesLog() {
		err = fmt.Errorf("%w: %w", ErrExclusive, err)
	}
	return tx, err
}

// suitable reports why the database cannot be captured, if its files show it.
func suitable(path string, files livedb.Files) error {
	switch kind, err := fileSystemOf(path); {
	case err != nil:
		return err
	case kind == livedb.Network:
		return fmt.Errorf("%w: its locks and times cannot be relied on", ErrNetwork)
	case kind == livedb.UserSpace && files.UsesLog():
		return fmt.Errorf("%w, or of another system, with which the log's index is not shared", ErrNetwork)
	}
	if write, read := files.Header.Versions(); files.Header.HasMagic() && (!sqlitefile.ValidVersion(write) || !sqlitefile.ValidVersion(read)) {
		return fmt.Errorf("%w: file format version %d, %d", ErrForeignLog, write, read)
	}
	head, err := hex.DecodeString(files.WAL.Head)
	if err != nil || len(head) < sqlitefile.WALHeaderSize {
		return nil // none yet
	}
	log := sqlitefile.WALHeader(head)
	if version, known := log.Version(); log.Intact() && !known {
		return fmt.Errorf("%w: log format version %d", ErrForeignLog, version)
	}
	return nil
}
