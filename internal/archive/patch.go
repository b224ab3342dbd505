package archive

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"example.com/snapd/internal/durable"
)

// Patch turns one image into another: it holds the pages of that which differ.
type Patch struct {
	from, to Image
	fetched  *fetched // nil before Fetch
}

// NewPatch returns the patch to the image of to; From says from which one.
func NewPatch(to Image) *Patch { return &Patch{to: to} }

// From sets the image that is to be patched, and proves its page digests.
// It may be called again, also after Fetch.
func (p *Patch) From(from Image) error {
	p.from = from
	if err := from.ProveDigests(); err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	return nil
}

// Fetch fetches the pages of the target that differ, and copies them to a scratch file in dir, so that Each need not decompress. It copies up to limit bytes,
// and only while there is room; Each takes the others from the target. Errors: as for
// Image.Fetch, or that the file cannot be made.
func (p *Patch) Fetch(ctx context.Context, dir string, limit int64, o CopyOptions) error {
	if err := p.Close(); err != nil {
		return err
	}
	f, err := durable.Scratch(dir, "pages")
	if err != nil {
		return fmt.Errorf("fetch pages: %w", err)
	}
	f.Unlink()
	p.fetched = &fetched{file: f, pageSize: p.to.Shape().PageSize, room: limit, out: bufio.NewWriterSize(f, 256<<10)}
	if err := p.to.Fetch(ctx, p.pages(ctx), o, p.fetched.put); err != nil {
		return err
	}
	p.fetched.flush()
	return nil
}

// Count returns how many pages Each gives.
func (p *Patch) Count(ctx context.Context) (n int64, err error) {
	for _, err := range p.pages(ctx) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// Each calls fn with each page of the target that differs, proven by its digest; page is
// good until fn returns. Those that were fetched come first. Errors: Diff's, ReadPages's, fn's.
func (p *Patch) Each(ctx context.Context, o CopyOptions, fn func(pgno int64, page []byte) error) error {
	if p.fetched == nil {
		return p.to.ReadPages(ctx, p.pages(ctx), o, fn)
	}
	page := make([]byte, p.to.Shape().PageSize)
	index := p.fetched.cursor()
	for c, err := range Diff(ctx, p.from, p.to) {
		if err != nil {
			return err
		}
		slot, ok := index(c.Page)
		if !ok {
			continue
		}
		if err := p.fetched.read(page, slot); err != nil {
			return err
		}
		if PageDigest(p.to.Seed(), c.Page, page) != c.To {
			return fmt.Errorf("%w: the scratch file gives page %d back with another digest", ErrDamaged, c.Page)
		}
		if err := fn(c.Page, page); err != nil {
			return err
		}
	}
	return p.to.ReadPages(ctx, p.notFetched(ctx), o, fn)
}

// Close removes the scratch file. It may be called twice, and of nil.
func (p *Patch) Close() error {
	if p == nil || p.fetched == nil {
		return nil
	}
	err := p.fetched.file.Close()
	p.fetched = nil
	return err
}

// pages yields the numbers of the target's pages that differ.
func (p *Patch) pages(ctx context.Context) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for c, err := range Diff(ctx, p.from, p.to) {
			if err == nil && c.Page > p.to.Shape().PageCount {
				return
			}
			if !yield(c.Page, err) {
				return
			}
		}
	}
}

// notFetched yields those among them that are not in the scratch file.
func (p *Patch) notFetched(ctx context.Context) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		index := p.fetched.cursor()
		for pgno, err := range p.pages(ctx) {
			if _, ok := index(pgno); ok && err == nil {
				continue
			}
			if !yield(pgno, err) {
				return
			}
		}
	}
}

// maxFetched bounds the memory of a fetched: 32 MiB for 16 GiB in pages of 4 KiB.
const maxFetched = 1 << 22

// fetched are pages in a scratch file, one after the other.
type fetched struct {
	file     *durable.ScratchFile
	pageSize int
	pages    []fetchedPage // in ascending order after flush
	room     int64         // bytes that may still be written; 0 after an error
	out      *bufio.Writer
}

type fetchedPage struct{ pgno, slot uint32 }

// put keeps the page where there is room for it. It returns no error.
func (f *fetched) put(pgno int64, page []byte) error {
	if f.room < int64(len(page)) || len(f.pages) >= maxFetched {
		f.room = 0
		return nil
	}
	f.room -= int64(len(page))
	if _, err := f.out.Write(page); err != nil {
		f.giveUp()
		return nil
	}
	f.pages = append(f.pages, fetchedPage{uint32(pgno), uint32(len(f.pages))})
	return nil
}

// giveUp forgets all pages: the file has no room for the buffered pages, and the target has them, too.
func (f *fetched) giveUp() { f.room, f.pages = 0, nil }

func (f *fetched) flush() {
	if f.out.Flush() != nil {
		f.giveUp()
	}
	slices.SortFunc(f.pages, func(a, b fetchedPage) int { return cmp.Compare(a.pgno, b.pgno) })
}

// cursor returns a function that finds pages, asked for in ascending order.
func (f *fetched) cursor() func(pgno int64) (slot uint32, ok bool) {
	i := 0
	return func(pgno int64) (uint32, bool) {
		for i < len(f.pages) && int64(f.pages[i].pgno) < pgno {
			i++
		}
		if i == len(f.pages) || int64(f.pages[i].pgno) != pgno {
			return 0, false
		}
		return f.pages[i].slot, true
	}
}

func (f *fetched) read(page []byte, slot uint32) error {
	if _, err := f.file.ReadAt(page, int64(slot)*int64(f.pageSize)); err != nil {
		return fmt.Errorf("read a fetched page: %w", err)
	}
	return nil
}
