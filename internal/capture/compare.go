package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
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

// Anchored is what Anchor found.
type Anchored struct {
	Outcome // of the capture
	// Differ are the pages that were not what base and captures say, though the log had every commit;
	// Repaired is the capture with what they are. Nothing is wrong where there are none.
	Differ   []uint32
	Repaired changes.Capture
}

// Anchor captures, and compares every page of that very state with base and captures. Then prove
// looks at the same transaction, if it is not nil; its error is returned with what was found and
// captured.
func (c *Chain) Anchor(ctx context.Context, now func() time.Time, prove func(context.Context, *livedb.Tx) error) (a Anchored, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("anchor: %w", err), c.pin.letGo())
		}
	}()
	files, err := livedb.Look(c.path)
	if err != nil {
		return a, err
	}
	tx, err := c.begin(ctx, files, livedb.Options{AvoidReadMark0: true})
	if err != nil {
		return a, err
	}
	begun := time.Now()
	if err := c.anchor(ctx, tx, files.Fingerprint, now, &a); err != nil {
		return a, errors.Join(err, tx.Close())
	}
	var failed error
	if prove != nil {
		failed = prove(ctx, tx)
	}
	a.Outcome, err = c.keep(ctx, tx, a.Outcome, begun)
	return a, errors.Join(failed, err)
}

func (c *Chain) anchor(ctx context.Context, tx *livedb.Tx, files livedb.Fingerprint, now func() time.Time, a *Anchored) (err error) {
	if a.Outcome, err = c.capture(ctx, tx, files, now); err != nil || a.Way == Compared {
		return err
	}
	f, err := c.compare(ctx, tx)
	if err != nil {
		return err
	}
	differ := slices.Sorted(maps.Keys(f.digests))
	out := Outcome{Way: Compared}
	if err := c.append(ctx, &out, f, c.at, now()); err != nil {
		return err
	}
	if out.Way == Compared {
		a.Differ, a.Repaired = differ, out.Capture
	}
	return nil
}
