package archive

import (
	"bytes"
	"context"
	"fmt"
	"iter"
)

// Change is a page in which two images differ.
type Change struct {
	Page     int64  // number, from 1
	From, To Digest // of the page in either; zero in the image that has no such page
}

// Diff yields, in order of page number, the pages in which the image of to differs from
// that of from, those among them that only one has. It compares page digests and
// decompresses nothing. Both lists are proven before the first page is yielded. An error
// is the last thing that it yields: ErrNotComparable, ErrDamaged, an error of reading, or ctx's.
func Diff(ctx context.Context, from, to *Reader) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if err := diff(ctx, from, to, func(c Change) bool { return yield(c, nil) }); err != nil {
			yield(Change{}, fmt.Errorf("compare archives: %w", err))
		}
	}
}

// diff calls yield until it returns false.
func diff(ctx context.Context, from, to *Reader, yield func(Change) bool) error {
	if err := comparable(from.meta, to.meta); err != nil {
		return err
	}
	for _, r := range []*Reader{from, to} {
		if err := r.proveDigests(); err != nil {
			return err
		}
	}
	as, bs := from.digests(), to.digests()
	for before := int64(0); before < max(as.pages, bs.pages); before += digestsPerFrame {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		a, err := as.next(digestsPerFrame)
		if err != nil {
			return err
		}
		b, err := bs.next(digestsPerFrame)
		if err != nil {
			return err
		}
		if bytes.Equal(a, b) {
			continue
		}
		for pgno := before + 1; len(a) > 0 || len(b) > 0; pgno++ {
			c := Change{Page: pgno}
			a = a[copy(c.From[:], a):]
			b = b[copy(c.To[:], b):]
			if c.From != c.To && !yield(c) {
				return nil
			}
		}
	}
	return nil
}

// comparable returns ErrNotComparable where page digests say nothing about each other.
func comparable(a, b metadata) error {
	switch {
	case a.PageCount == 0 || b.PageCount == 0:
		return nil
	case a.PageSize != b.PageSize:
		return fmt.Errorf("%w: pages of %d and of %d bytes", ErrNotComparable, a.PageSize, b.PageSize)
	case a.PageSeed != b.PageSeed:
		return fmt.Errorf("%w: they have different seeds, and come from different backup directories", ErrNotComparable)
	}
	return nil
}
