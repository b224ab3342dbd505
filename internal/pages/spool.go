package pages

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"example.com/snapd/internal/livedb"
)

// spoolBatches of copyBatch bytes are read ahead of what is written.
const spoolBatches = 3

// Spool writes the same as CopyTo, for a caller whom writers wait for: where nobody can
// change the file it reads the file itself, while what was read before is written.
//
// That is in the rollback-journal modes. The snapshot's SHARED lock keeps everybody from
// the EXCLUSIVE one that writing into the file takes, no journal is hot under it, and
// the reading transaction has nothing of its own: the file is the image.
func (s *Snapshot) Spool(ctx context.Context, w io.Writer, progress func(done int64)) (err error) {
	f := s.file(ctx)
	if f == nil {
		gather := bufio.NewWriterSize(w, copyBatch)
		if err := s.CopyTo(ctx, gather, progress); err != nil {
			return err
		}
		if err := gather.Flush(); err != nil {
			return fmt.Errorf("snapshot %s: write the image: %w", s.path, err)
		}
		return nil
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("snapshot %s: %w", s.path, cerr)
		}
	}()
	return s.copyFile(ctx, f, w, progress)
}

// file opens the database file where it is the image, and is nil where there is any
// doubt: SQLite then tells what is the matter.
func (s *Snapshot) file(ctx context.Context) *livedb.File {
	if s.private != nil || s.inWrite || s.info.PageCount == 0 {
		return nil
	}
	// Not from the header: of its two versions this follows the one that SQLite goes by.
	if mode, err := s.conn.Text(ctx, "PRAGMA journal_mode"); err != nil || mode == "wal" {
		return nil
	}
	f, err := livedb.Open(s.path)
	if err != nil {
		return nil
	}
	moved, err := s.conn.Moved() // after Open: what we have open is what the path named
	size, serr := f.Size()
	if err != nil || serr != nil || moved || size < s.info.Bytes() {
		_ = f.Close() // read only, and CopyTo reads it all again
		return nil
	}
	return f
}

// batch is a part of the file on its way from the reader to the writer.
type batch struct {
	data []byte
	err  error
}

func (s *Snapshot) copyFile(ctx context.Context, f io.ReaderAt, w io.Writer, progress func(done int64)) error {
	free, full := make(chan []byte, spoolBatches), make(chan batch, spoolBatches)
	for range spoolBatches {
		free <- make([]byte, copyBatch)
	}
	go s.readFile(f, free, full)
	defer func() { // also after a panic of w or progress, which a host may outlive
		close(free) // the reader ends as soon as it sees no more room
		for range full {
		}
	}()
	var done int64
	for b := range full {
		if b.err != nil {
			return fmt.Errorf("snapshot %s: read the file: %w", s.path, b.err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("snapshot %s: %w", s.path, err)
		}
		if _, err := w.Write(b.data); err != nil {
			return fmt.Errorf("snapshot %s: write the image: %w", s.path, err)
		}
		if done += int64(len(b.data)); progress != nil {
			progress(done)
		}
		free <- b.data[:copyBatch]
	}
	return nil
}

// readFile reads the image into what comes from free, until there is no more of either,
// and closes full.
func (s *Snapshot) readFile(f io.ReaderAt, free <-chan []byte, full chan<- batch) {
	defer close(full)
	size := s.info.Bytes()
	for off := int64(0); off < size; {
		buf, ok := <-free
		if !ok {
			return
		}
		buf = buf[:min(int64(len(buf)), size-off)]
		err := s.readPages(f, buf, off)
		full <- batch{buf, err}
		if err != nil {
			return
		}
		off += int64(len(buf))
	}
}

// readPages fills buf with the whole pages at off. The page with the lock bytes is none:
// SQLite gives zeros for it, and Windows lets nobody read what another has locked.
func (s *Snapshot) readPages(f io.ReaderAt, buf []byte, off int64) error {
	page := int64(s.info.PageSize)
	lockAt := (lockPage(s.info.PageSize)-1)*page - off
	if lockAt < 0 || lockAt >= int64(len(buf)) {
		return readAll(f, buf, off)
	}
	clear(buf[lockAt : lockAt+page])
	if err := readAll(f, buf[:lockAt], off); err != nil {
		return err
	}
	return readAll(f, buf[lockAt+page:], off+lockAt+page)
}

// readAll fills buf; the end of the file before that is an error.
func readAll(f io.ReaderAt, buf []byte, off int64) error {
	if n, err := f.ReadAt(buf, off); n < len(buf) {
		return err
	}
	return nil
}
