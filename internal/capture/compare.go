package capture

import (
	"context"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// compare reads every page. In the rollback-journal modes writers wait meanwhile, and the file is
// read as it is; else through SQLite.
func (c *Chain) compare(ctx context.Context, tx *livedb.Tx) (*found, error) {
	f := &found{pages: tx.Info().PageCount, digests: map[uint32]archive.Digest{}}
	s := &pages.Snapshot{Tx: tx}
	if f.pages > 0 {
		copyTo := s.CopyTo
		if tx.Info().JournalMode != "wal" {
			copyTo = s.Spool
		}
		if err := copyTo(ctx, &comparer{c: c, found: f, page: make([]byte, 0, c.pageSize)}, nil); err != nil {
			return nil, err
		}
	}
	read, end, err := s.Pages()
	if err != nil {
		return nil, err
	}
	f.read, f.close = read, []func(){end}
	return f, nil
}

// comparer gets an image, and finds the pages in which it differs from the state.
type comparer struct {
	c     *Chain
	found *found
	pgno  uint32
	page  []byte // the beginning of one
}

func (w *comparer) Write(b []byte) (int, error) {
	size := w.c.pageSize
	for at := 0; at < len(b); {
		page := b[at:min(at+size-len(w.page), len(b))]
		at += len(page)
		if len(page) < size {
			if w.page = append(w.page, page...); len(w.page) < size {
				break
			}
			page = w.page
		}
		w.pgno++
		w.found.add(w.c, w.pgno, archive.PageDigest(w.c.seed, int64(w.pgno), page))
		w.page = w.page[:0]
	}
	return len(b), nil
}
