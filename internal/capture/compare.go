package capture

import (
	"context"
	"runtime"
	"sync"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// maxWorkers bounds the goroutines that compare pages, and the memory that they take.
const maxWorkers = 4

// compare reads every page. In the rollback-journal modes writers wait meanwhile, and the file is
// read as it is, by all processors; else through SQLite.
func (c *Chain) compare(ctx context.Context, tx *livedb.Tx) (*found, error) {
	f := &found{pages: tx.Info().PageCount, digests: map[uint32]archive.Digest{}}
	s := &pages.Snapshot{Tx: tx}
	if f.pages > 0 {
		var mu sync.Mutex // guards f
		err := s.Scan(ctx, min(runtime.GOMAXPROCS(0), maxWorkers), func(first int64, b []byte) error {
			for pgno := first; len(b) > 0; pgno, b = pgno+1, b[c.pageSize:] {
				if d := archive.PageDigest(c.seed, pgno, b[:c.pageSize]); !c.Has(pgno, d) {
					mu.Lock()
					f.digests[uint32(pgno)] = d
					mu.Unlock()
				}
			}
			return nil
		})
		if err != nil {
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
