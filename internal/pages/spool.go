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

// Spool writes the same as CopyTo, for a caller that writers wait for: where no process can
// change the file it reads the file itself, while what was read before is written.
//
// That is in the rollback-journal modes: see livedb.Tx.ImageFile.
func (s *Snapshot) Spool(ctx context.Context, w io.Writer, progress func(done int64)) (err error) {
	f := s.ImageFile(ctx)
	if f == nil {
		gather := bufio.NewWriterSize(w, copyBatch)
		if err := s.CopyTo(ctx, gather, progress); err != nil {
			return err
		}
		if err := gather.Flush(); err != nil {
			return fmt.Errorf("snapshot %s: write the image: %w", s.Path(), err)
		}
		return nil
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("snapshot %s: %w", s.Path(), cerr)
		}
	}()
	if err := copyFile(ctx, f, s.Info(), w, progress); err != nil {
		return fmt.Errorf("snapshot %s: %w", s.Path(), err)
	}
	return nil
}

// batch is a part of the file on its way from the reader to the writer.
type batch struct {
	data []byte
	err  error
}

// copyFile copies the image that f is.
func copyFile(ctx context.Context, f io.ReaderAt, info livedb.Info, w io.Writer, progress func(done int64)) error {
	free, full := make(chan []byte, spoolBatches), make(chan batch, spoolBatches)
	for range spoolBatches {
		free <- make([]byte, copyBatch)
	}
	go readFile(f, info, free, full)
	defer func() { // also after a panic of w or progress, which a host may outlive
		close(free) // the reader ends as soon as it sees no more room
		for range full {
		}
	}()
	var done int64
	for b := range full {
		if b.err != nil {
			return fmt.Errorf("read the file: %w", b.err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := w.Write(b.data); err != nil {
			return fmt.Errorf("write the image: %w", err)
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
func readFile(f io.ReaderAt, info livedb.Info, free <-chan []byte, full chan<- batch) {
	defer close(full)
	size := info.Bytes()
	for off := int64(0); off < size; {
		buf, ok := <-free
		if !ok {
			return
		}
		buf = buf[:min(int64(len(buf)), size-off)]
		err := readPages(f, info, buf, off)
		full <- batch{buf, err}
		if err != nil {
			return
		}
		off += int64(len(buf))
	}
}

// readPages fills buf with the whole pages at off. The page with the lock bytes is none:
// SQLite gives zeros for it, and Windows lets no process read what another has locked.
func readPages(f io.ReaderAt, info livedb.Info, buf []byte, off int64) error {
	page := int64(info.PageSize)
	lockAt := (lockPage(info.PageSize)-1)*page - off
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
