package archive

import (
	"bufio"
	"context"
	"fmt"
	"iter"

	"example.com/snapd/internal/durable"
)

// Patch turns an image into an archive's: it holds the archive's pages that differ.
type Patch struct {
	from, to *Reader
	fetched  *fetched // nil before Fetch
}

// NewPatch returns the patch to the image of to; From says from which one.
func NewPatch(to *Reader) *Patch { return &Patch{to: to} }

// From sets the archive of the image that is to be patched, and proves its page digests.
// It may be called again, also after Fetch.
func (p *Patch) From(from *Reader) error {
	p.from = from
	if err := from.proveDigests(); err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	return nil
}

// Fetch proves the target as Verify does, and copies the pages that differ to a scratch
// file in dir on the way, so that Each need not decompress. It copies up to limit bytes,
// and only while there is room; Each takes the others from the target. Errors: as for
// CopyTo, or that the file cannot be made.
func (p *Patch) Fetch(ctx context.Context, dir string, limit int64, o CopyOptions) error {
	if err := p.Close(); err != nil {
		return err
	}
	f, err := durable.Scratch(dir, "pages")
	if err != nil {
		return fmt.Errorf("fetch pages: %w", err)
	}
	f.Unlink()
	size := p.to.meta.PageSize
	p.fetched = &fetched{file: f, pageSize: size, room: limit, out: bufio.NewWriterSize(f, 256<<10)}
	next, stop := iter.Pull2(p.pages(ctx))
	defer stop()
	if err := p.to.CopyTo(ctx, &picker{next: next, to: p.fetched}, o); err != nil {
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
// good until fn returns. Those that were fetched come first; each part is in ascending
// order. Errors: Diff's, ReadPages's, fn's.
func (p *Patch) Each(ctx context.Context, o CopyOptions, fn func(pgno int64, page []byte) error) error {
	if p.fetched == nil {
		return p.to.ReadPages(ctx, p.pages(ctx), o, fn)
	}
	page := make([]byte, p.to.meta.PageSize)
	index := p.fetched.cursor()
	for c, err := range Diff(ctx, p.from, p.to) {
		if err != nil {
			return err
		}
		i, ok := index(c.Page)
		if !ok {
			continue
		}
		if err := p.fetched.read(page, i); err != nil {
			return err
		}
		if PageDigest(p.to.seed, c.Page, page) != c.To {
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
			if err == nil && c.Page > p.to.meta.PageCount {
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

// maxFetched bounds the memory of a fetched: 16 MiB for 16 GiB in pages of 4 KiB.
const maxFetched = 1 << 22

// fetched are pages in a scratch file, one after the other, in ascending order.
type fetched struct {
	file     *durable.ScratchFile
	pageSize int
	pgnos    []uint32
	room     int64 // bytes that may still be written; 0 after an error
	out      *bufio.Writer
}

// put keeps the page where there is room for it.
func (f *fetched) put(pgno int64, page []byte) {
	if f.room < int64(len(page)) || len(f.pgnos) >= maxFetched {
		f.room = 0
		return
	}
	f.room -= int64(len(page))
	if _, err := f.out.Write(page); err != nil {
		f.giveUp()
		return
	}
	f.pgnos = append(f.pgnos, uint32(pgno))
}

// giveUp forgets all pages: the file has no room for the buffered pages, and the target has them, too.
func (f *fetched) giveUp() { f.room, f.pgnos = 0, nil }

func (f *fetched) flush() {
	if f.out.Flush() != nil {
		f.giveUp()
	}
}

// cursor returns a function that finds pages, asked for in ascending order.
func (f *fetched) cursor() func(pgno int64) (index int, ok bool) {
	i := 0
	return func(pgno int64) (int, bool) {
		for i < len(f.pgnos) && int64(f.pgnos[i]) < pgno {
			i++
		}
		return i, i < len(f.pgnos) && int64(f.pgnos[i]) == pgno
	}
}

func (f *fetched) read(page []byte, index int) error {
	if _, err := f.file.ReadAt(page, int64(index)*int64(f.pageSize)); err != nil {
		return fmt.Errorf("read a fetched page: %w", err)
	}
	return nil
}

// picker takes an image by Write, and keeps the pages that next names.
type picker struct {
	next  func() (int64, error, bool)
	to    *fetched
	pages int64 // taken so far
	pgno  int64 // of the next page to keep; 0 before the first
	ended bool
}

// Write takes the image's next whole pages.
func (p *picker) Write(image []byte) (int, error) {
	size := p.to.pageSize
	for at := 0; at < len(image); at += size {
		p.pages++
		for !p.ended && p.pgno < p.pages {
			pgno, err, more := p.next()
			if err != nil {
				return at, err
			}
			p.pgno, p.ended = pgno, !more
		}
		if !p.ended && p.pgno == p.pages {
			p.to.put(p.pgno, image[at:at+size])
		}
	}
	return len(image), nil
}
