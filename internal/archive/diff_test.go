package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"
)

// changes collects what Diff yields.
func changes(t *testing.T, from, to *Reader) (all []Change, err error) {
	t.Helper()
	for c, err := range Diff(t.Context(), from, to) {
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func numbers(all []Change) (pgnos []int64) {
	for _, c := range all {
		pgnos = append(pgnos, c.Page)
	}
	return pgnos
}

// these yields page numbers.
func these(pgnos ...int64) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for _, n := range pgnos {
			if !yield(n, nil) {
				return
			}
		}
	}
}

// If this fails, a restore leaves pages of the database that it replaces, or writes
// pages that are the same.
func TestDiff(t *testing.T) {
	const size = 512
	o := WriterOptions{PageSize: size, FrameBytes: 8 * size, Seed: 9}
	image := crmImage((digestsPerFrame+40)*size, size, 60)
	stored, info := pack(t, image, o)
	from := open(t, stored)
	change := func(pgnos ...int64) []byte {
		b := bytes.Clone(image)
		for _, n := range pgnos {
			b[n*size-1] ^= 1
		}
		return b
	}
	swapped := bytes.Clone(image)
	copy(swapped[2*size:], image[3*size:4*size])
	copy(swapped[3*size:], image[2*size:3*size])
	last := info.PageCount
	for _, c := range []struct {
		name  string
		image []byte
		want  []int64
	}{
		{"the same", image, nil},
		{"first, last, and both sides of a digest frame's end", change(1, digestsPerFrame, digestsPerFrame+1, last),
			[]int64{1, digestsPerFrame, digestsPerFrame + 1, last}},
		{"two pages exchanged", swapped, []int64{3, 4}},
		{"shorter", image[:(last-2)*size], []int64{last - 1, last}},
		{"longer, and changed", append(change(7), image[:2*size]...), []int64{7, last + 1, last + 2}},
		{"without the second digest frame", image[:(digestsPerFrame-1)*size], nil},
		{"of one page", image[:size], nil},
	} {
		got, _ := pack(t, c.image, o)
		to := open(t, got)
		there, err := changes(t, from, to)
		back, errBack := changes(t, to, from)
		if err := errors.Join(err, errBack); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		pgnos := numbers(there)
		if c.want == nil && len(c.image) < len(image) {
			for n := int64(len(c.image)/size) + 1; n <= last; n++ {
				c.want = append(c.want, n)
			}
		}
		if !slices.Equal(pgnos, c.want) || !slices.Equal(numbers(back), pgnos) {
			t.Errorf("%s: pages %v and %v, want %v", c.name, pgnos, numbers(back), c.want)
		}
		// The sum of one image follows from the other's.
		sum := from.Info().Sum
		for i, ch := range there {
			if ch.From != back[i].To || ch.To != back[i].From {
				t.Fatalf("%s: page %d has other digests the other way round", c.name, ch.Page)
			}
			if ch.Page <= last {
				sum.Sub(ch.From)
			}
			if ch.Page <= to.Info().PageCount {
				sum.Add(ch.To)
			}
		}
		if sum != to.Info().Sum {
			t.Errorf("%s: sum %s, want %s", c.name, sum, to.Info().Sum)
		}
	}
}

// If this fails, images are called the same, or different, by digests that say nothing.
func TestDiffOfWhatCannotBeCompared(t *testing.T) {
	image := crmImage(8*1024, 512, 61)
	one, _ := pack(t, image, WriterOptions{PageSize: 512, FrameBytes: 1024, Seed: 1})
	for name, o := range map[string]WriterOptions{"seed": {PageSize: 512, Seed: 2}, "page size": {PageSize: 1024, Seed: 1}} {
		other, _ := pack(t, image, o)
		if got, err := changes(t, open(t, one), open(t, other)); !errors.Is(err, ErrNotComparable) || len(got) > 0 {
			t.Errorf("another %s: %v, %v", name, got, err)
		}
	}
	none, _ := pack(t, nil, WriterOptions{})
	if got, err := changes(t, open(t, none), open(t, one)); err != nil || len(got) != 16 {
		t.Errorf("with no pages: %v, %v", numbers(got), err)
	}
	if got, err := changes(t, open(t, none), open(t, none)); err != nil || len(got) > 0 {
		t.Errorf("two without pages: %v, %v", numbers(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range Diff(ctx, open(t, one), open(t, one)) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	bad := bytes.Clone(one)
	bad[open(t, one).digestsAt()+20] ^= 1
	if got, err := changes(t, open(t, one), open(t, bad)); !errors.Is(err, ErrDamaged) || len(got) > 0 {
		t.Errorf("damaged digests: %v, %v", numbers(got), err)
	}
}

// If this fails, a restore writes other pages than those that it asked for.
func TestReadPages(t *testing.T) {
	const size, frame = 512, 8
	image := crmImage(1003*size, size, 62)
	stored, info := pack(t, image, WriterOptions{PageSize: size, FrameBytes: frame * size, Seed: 5})
	r := rand.New(rand.NewPCG(1, 3))
	var some []int64
	for n := int64(1); n <= info.PageCount; n++ {
		if r.IntN(20) == 0 {
			some = append(some, n)
		}
	}
	all := make([]int64, info.PageCount)
	for i := range all {
		all[i] = int64(i) + 1
	}
	for name, want := range map[string][]int64{"none": nil, "first": {1}, "last": {info.PageCount}, "some": some, "all": all} {
		counted := &countingReaderAt{r: bytes.NewReader(stored), reads: map[int64]int{}}
		a, err := NewReader(counted, int64(len(stored)))
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		err = a.ReadPages(t.Context(), these(want...), CopyOptions{Workers: 3}, func(pgno int64, page []byte) error {
			if !bytes.Equal(page, image[(pgno-1)*size:pgno*size]) {
				return fmt.Errorf("page %d is another one", pgno)
			}
			got = append(got, pgno)
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %d pages of %d", name, err, len(got), len(want))
		}
		frames := map[int64]bool{}
		for _, n := range want {
			frames[(n-1)/frame] = true
		}
		for i := range a.meta.frames() {
			if n := counted.reads[a.offsets[i]]; n > 1 || (n == 1) != frames[i] {
				t.Errorf("%s: frame %d was read %d times", name, i, n)
			}
		}
	}
	a := open(t, stored)
	for _, want := range [][]int64{{0}, {3, 2}, {4, 4}, {info.PageCount + 1}} {
		if err := a.ReadPages(t.Context(), these(want...), CopyOptions{}, func(int64, []byte) error { return nil }); err == nil {
			t.Errorf("pages %v were read", want)
		}
	}
	stop := errors.New("stop")
	if err := a.ReadPages(t.Context(), these(all...), CopyOptions{}, func(int64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error came as %v", err)
	}
	failing := func(yield func(int64, error) bool) { _ = yield(1, nil) && yield(0, stop) }
	if err := a.ReadPages(t.Context(), failing, CopyOptions{}, func(int64, []byte) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("the list's error came as %v", err)
	}
	bad := bytes.Clone(stored)
	bad[a.offsets[3]+100] ^= 1
	b := open(t, bad)
	if err := b.ReadPages(t.Context(), these(1, 3*frame+2), CopyOptions{}, func(int64, []byte) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged frame: %v", err)
	}
}

type countingReaderAt struct {
	r     *bytes.Reader
	mu    sync.Mutex
	reads map[int64]int // by offset
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	c.reads[off]++
	c.mu.Unlock()
	return c.r.ReadAt(p, off)
}

// If this fails, archives of different versions of this program have different digests
// for the same pages, and everything seems to have changed.
func TestPageDigestVectors(t *testing.T) {
	page := make([]byte, 512)
	for i := range page {
		page[i] = byte(i)
	}
	seen := map[Digest]bool{}
	for _, seed := range []Seed{0, 1, 0x5eed} {
		for _, pgno := range []int64{1, 2, 0xFFFFFFFE} {
			d := PageDigest(seed, pgno, page)
			if seen[d] {
				t.Errorf("seed %s, page %d: a digest that was there before", seed, pgno)
			}
			seen[d] = true
		}
	}
	// Output 7 of SplitMix64 started at 0x5eed.
	if got := PageDigest(0x5eed, 7, page); got != xxh3.Hash128Seed(page, 0x296cd0f2c21d7f90).Bytes() {
		t.Errorf("digest %x is of another seed", got)
	}
	if got := fmt.Sprintf("%x", PageDigest(0x5eed, 7, page)); got != vector7 {
		t.Errorf("digest %s, want %s", got, vector7)
	}
	if s, err := ParseSeed(Seed(0x5eed).String()); err != nil || s != 0x5eed {
		t.Errorf("seed came back as %v, %v", s, err)
	}
	if a, b := NewSeed(), NewSeed(); a == b {
		t.Errorf("two new seeds are %v", a)
	}
}

// vector7 is the digest of the bytes 0 … 255, 0 … 255 as page 7 with seed 0x5eed.
const vector7 = "0ecab1c9a343267e380b80e8477d0115"
