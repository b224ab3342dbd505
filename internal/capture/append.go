package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
)

// append writes a capture of what was found, and makes its state the newest.
func (c *Chain) append(ctx context.Context, out *Outcome, f *found, at Source, now time.Time) error {
	defer f.end()
	if len(f.digests) == 0 && f.pages == int64(len(c.digests)) {
		out.Way = Nothing // commits that came to nothing, or none
		return nil
	}
	source, err := json.Marshal(at)
	if err != nil {
		return err
	}
	numbers := slices.Sorted(maps.Keys(f.digests))
	undo := c.change(f, numbers)
	out.Capture = changes.Capture{
		Seq: c.seq + 1, From: c.looked, At: now, Commits: f.commits, Pages: f.pages, Sum: c.sum.Digits(), Source: source,
	}
	err = c.log.Append(ctx, out.Capture, numbers, func(pgno uint32, page []byte) error {
		if err := f.read(pgno, page); err != nil {
			return err
		}
		if archive.PageDigest(c.seed, int64(pgno), page) != f.digests[pgno] {
			return fmt.Errorf("page %d was read twice, and differs", pgno)
		}
		return nil
	})
	if err != nil {
		undo()
		return err
	}
	c.seq, c.looked, out.Changed = out.Capture.Seq, now, len(numbers)
	return nil
}

// change makes the state the one that was found, and returns how to take that back.
func (c *Chain) change(f *found, numbers []uint32) (undo func()) {
	pages, sum := int64(len(c.digests)), c.sum
	gone := slices.Clone(c.digests[min(f.pages, pages):])
	c.resize(f.pages)
	old := make([]archive.Digest, len(numbers))
	for i, pgno := range numbers {
		old[i] = c.digests[pgno-1]
		c.set(pgno, f.digests[pgno])
	}
	return func() {
		for i, pgno := range numbers {
			c.digests[pgno-1] = old[i]
		}
		c.digests = append(c.digests[:min(f.pages, pages)], gone...)
		c.sum = sum
	}
}
