package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"syscall"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// Damaged is a damaged database to be salvaged: its file, and its write-ahead log and rollback journal
// where there are any.
type Damaged struct {
	Image
	Log     sqlitefile.LogFile // R is nil for none
	Journal Image              // R is nil for none
}

// damaged reads the pages of a damaged database: the newest copy in the log that a checksum
// proves, else the copy from before a transaction that was cut off, else the file's. Nothing in them is believed.
type damaged struct {
	sqlitefile.File
	header  sqlitefile.Header
	intact  bool // the header is there
	counted uint32
	newest  map[uint32]int64 // offsets in the log
	back    *sqlitefile.Rollback
	from    Damaged
	failed  map[uint32]bool // pages that the disk did not give
	disk    error           // why
	objects []object
	trees   []*tree
	owner   owners
	strays  []uint32 // tops of trees that no table is known for
	stored  uint32   // pages of the file
	copies  []uint32 // pages that the log or the journal has, in order
}

// errLost is a page that is not there: the file ends before it, or the disk does not give it.
var errLost = fmt.Errorf("the page is lost: %w", sqlitefile.ErrMalformed)

// openDamaged finds out how the file is laid out. donor, nil for none, says what the header
// does not.
func openDamaged(ctx context.Context, from Damaged, donor *source) (*damaged, error) {
	d := &damaged{from: from, failed: map[uint32]bool{}, newest: map[uint32]int64{}, owner: owners{}}
	first := make([]byte, sqlitefile.MaxPageSize)
	n, err := readTwice(from.R, first, 0)
	if err != nil && !errors.Is(err, syscall.EIO) {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if n >= sqlitefile.HeaderSize {
		copy(d.header[:], first)
	}
	if _, ours := d.header.Fractions(); !ours && !d.header.HasMagic() {
		d.header = sqlitefile.Header{} // the bytes are something else
	}
	d.intact = d.header.HasMagic() && d.header.PageSize() != 0
	hint := d.header.PageSize()
	if !d.intact && donor != nil {
		hint = donor.PageSize
	}
	log, err := d.readLog(ctx, hint)
	if err != nil {
		return nil, err
	}
	if log != nil && log.Valid {
		hint = log.PageSize
	}
	if from.Journal.R != nil {
		if d.back, err = sqlitefile.ReadJournal(ctx, from.Journal.R, from.Journal.Size, hint); err != nil {
			return nil, fmt.Errorf("read the rollback journal: %w", err)
		}
	}
	size, reserved, err := d.guess(ctx, hint)
	if err != nil {
		return nil, err
	}
	d.layOut(size, reserved, log)
	if donor != nil && !d.intact {
		d.adoptHeader(donor.header)
	}
	return d, nil
}

// adoptHeader takes what the header says of the content from the donor.
func (d *damaged) adoptHeader(h sqlitefile.Header) {
	h.ClearFreelist()
	d.header = h
}

func (d *damaged) layOut(size, reserved int, log *sqlitefile.Log) {
	d.stored = uint32(min((d.from.Size+int64(size)-1)/int64(size), maxPages))
	copies := map[uint32]int64{}
	if log != nil && log.PageSize == size {
		d.takeLog(log)
		maps.Copy(copies, d.newest)
		d.counted = log.Pages
	}
	if d.back != nil && d.back.PageSize != size {
		d.back = nil
	}
	if d.back != nil && d.counted == 0 {
		d.counted = d.back.Pages
	}
	if d.back != nil {
		maps.Copy(copies, d.back.Before)
	}
	d.copies = slices.Sorted(maps.Keys(copies))
	pages := d.stored
	if len(d.copies) > 0 {
		pages = max(pages, d.copies[len(d.copies)-1])
	}
	d.File = sqlitefile.File{R: d, PageSize: size, Usable: size - reserved, Pages: pages}
	b := make([]byte, size)
	if d.copied(1) && d.Page(1, b) == nil {
		copy(d.header[:], b)
		d.intact = d.header.HasMagic()
	}
	if count, valid := d.header.PageCount(); d.counted == 0 && d.intact && valid {
		d.counted = count
	}
	if d.counted == 0 {
		d.counted = pages
	}
}

// stretch is how many pages are passed over together where the file has none of them.
const stretch = 256

// all are the pages that exist, in order: those of the file, without its holes, and those that the log or the journal has. What
// a header or a page claims beyond that is not there, and not looked for.
func (d *damaged) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		copies := d.copies
		for n := uint32(1); n <= d.stored; {
			from, end := d.nextStored(n)
			for len(copies) > 0 && copies[0] < from {
				if !yield(copies[0]) {
					return
				}
				copies = copies[1:]
			}
			for n = from; n < end; n++ {
				if !yield(n) {
					return
				}
			}
			for len(copies) > 0 && copies[0] < end {
				copies = copies[1:]
			}
		}
		for _, n := range copies {
			if !yield(n) {
				return
			}
		}
	}
}

// nextStored returns the next pages of the file from n on, some of those before end; both come after the last one where there are none.
func (d *damaged) nextStored(n uint32) (from, end uint32) {
	at := livedb.NextData(d.from.R, (int64(n)-1)*int64(d.PageSize))
	from = uint32(min(at/int64(d.PageSize), int64(d.stored))) + 1
	return from, min(from+stretch, d.stored+1)
}

// exists reports whether the file, the log or the journal has the page.
func (d *damaged) exists(n uint32) bool { return n > 0 && n <= d.stored || d.copied(n) }

func (d *damaged) readLog(ctx context.Context, hint int) (*sqlitefile.Log, error) {
	if d.from.Log.R == nil || d.from.Log.Size < sqlitefile.WALHeaderSize {
		return nil, nil
	}
	log, err := sqlitefile.ReadLog(ctx, d.from.Log, hint)
	if err != nil {
		return nil, fmt.Errorf("read the write-ahead log: %w", err)
	}
	return log, nil
}

// takeLog notes where the newest proven copies of pages are.
func (d *damaged) takeLog(log *sqlitefile.Log) {
	for i, n := range log.Committed {
		d.newest[n] = log.PageAt(int64(i) + 1)
	}
	if !log.Valid {
		for n, at := range log.Salvaged.Newest {
			d.newest[n] = at
		}
	}
}

// copied reports whether the log or the journal has the page.
func (d *damaged) copied(n uint32) bool {
	_, found := d.newest[n]
	if !found && d.back != nil {
		_, found = d.back.Before[n]
	}
	return found
}

// ReadAt reads from one page. What of the last page the file does not have is zero.
func (d *damaged) ReadAt(p []byte, off int64) (int, error) {
	n, within := uint32(off/int64(d.PageSize))+1, off%int64(d.PageSize)
	if d.failed[n] {
		return 0, errLost
	}
	r := d.from.R
	if at, found := d.newest[n]; found {
		r, off = d.from.Log.R, at+within
	} else if d.copied(n) {
		r, off = d.from.Journal.R, d.back.Before[n]+within
	} else if off >= d.from.Size {
		return 0, errLost
	}
	had, err := readTwice(r, p, off)
	switch {
	case errors.Is(err, syscall.EIO):
		d.failed[n] = true
		return 0, errLost
	case err != nil:
		return 0, err
	case had == 0:
		return 0, errLost
	}
	clear(p[had:])
	return len(p), nil
}

// readTwice fills b as far as the file goes, and tries again where a read fails: a bad sector fails
// each time.
func readTwice(r io.ReaderAt, b []byte, off int64) (n int, err error) {
	for range 2 {
		if n, err = r.ReadAt(b, off); err == nil || errors.Is(err, io.EOF) {
			return n, nil
		}
	}
	return n, err
}

const (
	// sampled bounds the pages that are looked at for each page size.
	sampled = 256
	// believed is how many times better than the header's another page size has to be.
	believed = 4
)

// guess returns the page size and the reserved bytes of a page: as the header has them, unless the
// pages themselves speak for other ones.
func (d *damaged) guess(ctx context.Context, hint int) (size, reserved int, err error) {
	reserved = d.header.Reserved()
	if !d.intact || d.header.Usable() < sqlitefile.MinUsable {
		reserved = 0
	}
	best := 0.0
	if size = hint; size != 0 {
		if best, err = d.sound(ctx, size, reserved); err != nil {
			return 0, 0, err
		}
		best *= believed
	}
	for try := sqlitefile.MinPageSize; try <= sqlitefile.MaxPageSize; try *= 2 {
		for _, left := range []int{reserved, 0} {
			if try-left < sqlitefile.MinUsable {
				continue
			}
			share, err := d.sound(ctx, try, left)
			if err != nil {
				return 0, 0, err
			}
			if share > best {
				best, size, reserved = share, try, left
			}
		}
	}
	if size == 0 && d.disk != nil {
		return 0, 0, fmt.Errorf("no page that can be read says how large pages are: %w", d.disk)
	}
	if size == 0 {
		return 0, 0, bad("no page size fits what is in the file")
	}
	return size, reserved, nil
}

// sound returns which share of the pages accounts for all of its bytes with that page size.
func (d *damaged) sound(ctx context.Context, size, reserved int) (float64, error) {
	pages := d.from.Size / int64(size)
	step := max(1, pages/sampled)
	b := make([]byte, size)
	good, all := 0, 0
	for n := int64(0); n < pages; n += step {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		had, err := readTwice(d.from.R, b, n*int64(size))
		if err != nil && !errors.Is(err, syscall.EIO) {
			return 0, err
		}
		if err != nil {
			d.disk = err
		}
		all++
		page, malformed := sqlitefile.ParsePage(b, uint32(min(n+1, math.MaxUint32)), size-reserved)
		if had == size && malformed == nil && page.Account() == nil {
			good++
		}
	}
	return float64(good) / float64(max(1, all)), nil
}
