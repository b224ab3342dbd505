package pages

import (
	"bufio"
	"context"
	"fmt"
	"sync"

	"example.com/snapd/internal/livedb"
)

// Scan calls fn with all pages of the image, some with each call, beginning with page first, for a caller that
// writers wait for. Where no process can change the file, that many workers read it and call fn concurrently, in no order; else
// they are read through SQLite, in order.
func (s *Snapshot) Scan(ctx context.Context, workers int, fn func(first int64, pages []byte) error) error {
	f := s.ImageFile(ctx)
	if f == nil {
		w := &scanner{fn: fn, pageSize: s.Info().PageSize}
		gather := bufio.NewWriterSize(w, copyBatch)
		if err := s.CopyTo(ctx, gather, nil); err != nil {
			return err
		}
		return gather.Flush()
	}
	defer f.Close() // it was only read
	if err := scanFile(ctx, f, s.Info(), workers, fn); err != nil {
		return fmt.Errorf("snapshot %s: %w", s.Path(), err)
	}
	return nil
}

// scanFile has workers read the file's parts in turn, and call fn. The first error ends them.
func scanFile(ctx context.Context, f *livedb.File, info livedb.Info, workers int, fn func(first int64, pages []byte) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var mu sync.Mutex
	var next int64 // offset of the next part
	part := func() (off int64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		off, next = next, next+copyBatch
		return off, off < info.Bytes() && ctx.Err() == nil
	}
	work := func() {
		buf := make([]byte, min(copyBatch, info.Bytes()))
		for off, ok := part(); ok; off, ok = part() {
			b := buf[:min(int64(len(buf)), info.Bytes()-off)]
			err := readPages(f, info, b, off)
			if err != nil {
				err = fmt.Errorf("read the file: %w", err)
			} else {
				err = fn(off/int64(info.PageSize)+1, b)
			}
			if err != nil {
				fail(err)
			}
		}
	}
	var running sync.WaitGroup
	for range max(1, workers) {
		running.Go(work)
	}
	running.Wait()
	return context.Cause(ctx)
}

// scanner gets an image in whole pages.
type scanner struct {
	fn       func(first int64, pages []byte) error
	pageSize int
	pages    int64 // so far
}

func (w *scanner) Write(b []byte) (int, error) {
	err := w.fn(w.pages+1, b)
	w.pages += int64(len(b) / w.pageSize)
	return len(b), err
}
