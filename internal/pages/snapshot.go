package pages

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/sqlite"
)

// Options say how a snapshot is taken.
type Options struct {
	// ScratchDir is where a private copy goes when the database cannot be read in
	// place (see the package documentation); "" is the system's temporary directory.
	ScratchDir string
	// Twin asks for a second snapshot of the same state; see Snapshot.Twin.
	Twin bool
	// Aside asks to begin where writers are hindered least, which may take a moment; see
	// asideFor.
	Aside bool
}

// Snapshot is one committed state of a database, pinned until Close.
type Snapshot struct {
	path    string
	conn    *sqlite.Conn
	info    Info
	before  sidecars // what lay beside the database when we came
	private *durable.ScratchFile
	inWrite bool // the transaction is a WriteTx's
	twin    *Snapshot
}

// Info says what the image is.
func (s *Snapshot) Info() Info { return s.info }

// Conn returns the connection whose open transaction is the snapshot, for checks
// of the same state. It must not end the transaction, and every statement must
// be closed before Close.
func (s *Snapshot) Conn() *sqlite.Conn { return s.conn }

// copyBatch is how many bytes are copied between two looks at the context.
const copyBatch = 1 << 20

// CopyTo writes the image, pages 1 to PageCount in order, to w, page by page: a w whose
// writes are dear should gather them. progress may be
// nil; it is called with the bytes written so far. It may be called again.
// Errors: the context's, w's, or why a page could not be read (ErrCorrupt, …).
func (s *Snapshot) CopyTo(ctx context.Context, w io.Writer, progress func(done int64)) error {
	if s.info.PageCount == 0 {
		return ctx.Err()
	}
	stmt, err := s.conn.Prepare("SELECT data FROM sqlite_dbpage ORDER BY pgno")
	if err != nil {
		return explain("snapshot", s.path, err)
	}
	defer stmt.Close()
	var done int64
	for {
		more, err := stmt.StepFast()
		if err != nil {
			return explain("snapshot", s.path, err)
		}
		if !more {
			break
		}
		page := stmt.Blob(0)
		if len(page) != s.info.PageSize {
			return fmt.Errorf("snapshot %s: page at byte %d has %d bytes, not %d", s.path, done, len(page), s.info.PageSize)
		}
		if _, err := w.Write(page); err != nil {
			return fmt.Errorf("snapshot %s: write the image: %w", s.path, err)
		}
		if done += int64(len(page)); done%copyBatch != 0 && done != s.info.Bytes() {
			continue
		}
		if progress != nil {
			progress(done)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("snapshot %s: %w", s.path, err)
		}
	}
	if done != s.info.Bytes() {
		return fmt.Errorf("snapshot %s: %d bytes of %d came", s.path, done, s.info.Bytes())
	}
	return nil
}

// Close ends the transaction and removes what lies beside the database only
// because of us. It may be called twice. On the snapshot of a WriteTx it does nothing.
func (s *Snapshot) Close() error {
	if s.conn == nil || s.inWrite {
		return nil
	}
	if s.twin != nil {
		if err := s.twin.Close(); err != nil {
			return err
		}
		s.twin = nil
	}
	err := s.conn.Close() // ends the transaction
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", s.path, err)
	}
	s.conn = nil
	if s.private != nil {
		return s.private.Close()
	}
	if err := s.before.tidy(s.path); err != nil {
		return fmt.Errorf("snapshot %s: tidy up: %w", s.path, err)
	}
	return nil
}

// begin opens path and pins a read transaction.
func begin(ctx context.Context, path string, o sqlite.Options) (*sqlite.Conn, Info, error) {
	c, err := sqlite.Open(path, o)
	if err != nil {
		return nil, Info{}, err
	}
	// BEGIN alone takes no lock: the first read does.
	err = c.Exec(ctx, "BEGIN; PRAGMA schema_version")
	var info Info
	if err == nil {
		info, _, err = readInfo(ctx, c)
	}
	if err != nil {
		return nil, Info{}, errors.Join(err, c.Close())
	}
	return c, info, nil
}
