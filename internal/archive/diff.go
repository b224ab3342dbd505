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
func Diff(ctx context.Context, from, to Image) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if err := diff(ctx, from, to, func(c Change) bool { return yield(c, nil) }); err != nil {
			yield(Change{}, fmt.Errorf("compare images: %w", err))
		}
	}
}

// diff calls yield until it returns false.
func diff(ctx context.Context, from, to Image, yield func(Change) bool) error {
	if err := comparable(from, to); err != nil {
		return err
	}
	for _, i := range []Image{from, to} {
		if err := i.ProveDigests(); err != nil {
			return err
		}
	}
	as, bs := from.Digests(), to.Digests()
	var a, b []byte // digests that were handed out and not compared yet
	for pgno := int64(1); ; {
		err := context.Cause(ctx)
		if err == nil && len(a) == 0 {
			a, err = as.Next(digestsPerFrame)
		}
		if err == nil && len(b) == 0 {
			b, err = bs.Next(digestsPerFrame)
		}
		if err != nil || len(a) == 0 && len(b) == 0 {
			return err
		}
		n := min(len(a), len(b))
		if n == 0 {
			n = max(len(a), len(b)) // one of them has ended
		}
		x, y := a[:min(n, len(a))], b[:min(n, len(b))]
		if !bytes.Equal(x, y) && !differ(pgno, x, y, yield) {
			return nil
		}
		a, b = a[len(x):], b[len(y):]
		pgno += int64(n / digestBytes)
	}
}

// differ yields where the digests of the pages from pgno on differ; one of the two may have none.
func differ(pgno int64, a, b []byte, yield func(Change) bool) bool {
	for ; len(a) > 0 || len(b) > 0; pgno++ {
		c := Change{Page: pgno}
		a = a[copy(c.From[:], a):]
		b = b[copy(c.To[:], b):]
		if c.From != c.To && !yield(c) {
			return false
		}
	}
	return true
}
