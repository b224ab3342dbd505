package pages

import (
	"context"
	"fmt"
	"io"

	"example.com/snapd/internal/livedb"
)

// Snapshot is one committed state of a database, pinned until Close, as a stream of pages.
type Snapshot struct{ *livedb.Tx }

// Begin pins a state of the database at path: see livedb.Begin.
func Begin(ctx context.Context, path string, o livedb.Options) (*Snapshot, error) {
	tx, err := livedb.Begin(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return &Snapshot{tx}, nil
}

// copyBatch is how many bytes are copied between two looks at the context.
const copyBatch = 1 << 20

// CopyTo writes the image, pages 1 to PageCount in order, to w, page by page: a w whose
// writes are dear should gather them. progress may be
// nil; it is called with the bytes written so far. It may be called again.
// Errors: the context's, w's, or why a page could not be read (ErrCorrupt, …).
func (s *Snapshot) CopyTo(ctx context.Context, w io.Writer, progress func(done int64)) error {
	info := s.Info()
	if info.PageCount == 0 {
		return ctx.Err()
	}
	stmt, err := s.Conn().Prepare("SELECT data FROM sqlite_dbpage ORDER BY pgno")
	if err != nil {
		return livedb.Explain("snapshot", s.Path(), err)
	}
	defer stmt.Close()
	var done int64
	for {
		more, err := stmt.StepFast()
		if err != nil {
			return livedb.Explain("snapshot", s.Path(), err)
		}
		if !more {
			break
		}
		page := stmt.Blob(0)
		if len(page) != info.PageSize {
			return fmt.Errorf("snapshot %s: page at byte %d has %d bytes, not %d", s.Path(), done, len(page), info.PageSize)
		}
		if _, err := w.Write(page); err != nil {
			return fmt.Errorf("snapshot %s: write the image: %w", s.Path(), err)
		}
		if done += int64(len(page)); done%copyBatch != 0 && done != info.Bytes() {
			continue
		}
		if progress != nil {
			progress(done)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("snapshot %s: %w", s.Path(), err)
		}
	}
	if done != info.Bytes() {
		return fmt.Errorf("snapshot %s: %d bytes of %d came", s.Path(), done, info.Bytes())
	}
	return nil
}

// Pages returns a function that reads single pages, and one that ends that.
func (s *Snapshot) Pages() (read func(pgno uint32, page []byte) error, end func(), err error) {
	stmt, err := s.Conn().Prepare("SELECT data FROM sqlite_dbpage WHERE pgno = ?")
	if err != nil {
		return nil, nil, livedb.Explain("snapshot", s.Path(), err)
	}
	read = func(pgno uint32, page []byte) error {
		defer stmt.Reset()
		if err := stmt.BindInt(1, int64(pgno)); err != nil {
			return livedb.Explain("snapshot", s.Path(), err)
		}
		if more, err := stmt.StepFast(); err != nil {
			return livedb.Explain("snapshot", s.Path(), err)
		} else if !more || len(stmt.Blob(0)) != len(page) {
			return fmt.Errorf("snapshot %s: page %d of %d was not read", s.Path(), pgno, s.Info().PageCount)
		}
		copy(page, stmt.Blob(0))
		return nil
	}
	return read, stmt.Close, nil
}
