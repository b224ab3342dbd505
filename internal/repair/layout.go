package repair

import (
	"os"

	"example.com/snapd/internal/sqlitefile"
)

// layout is where the pages of a database file are.
type layout struct {
	sqlitefile.File
	freeHead  uint32 // first page of the list of free pages
	freeCount uint32
}

// readLayout reads the header. The pages are the whole ones in the file.
func readLayout(f *os.File) (l layout, err error) {
	var h sqlitefile.Header
	if _, err := f.ReadAt(h[:], 0); err != nil {
		return l, err
	}
	fi, err := f.Stat()
	if err != nil {
		return l, err
	}
	if h.PageSize() == 0 || h.Usable() < sqlitefile.MinUsable {
		return l, notRepairable("the header names no page size")
	}
	l.File = sqlitefile.File{R: f, PageSize: h.PageSize(), Usable: h.Usable(), Pages: uint32(fi.Size() / int64(h.PageSize()))}
	l.freeHead, l.freeCount = h.Freelist()
	return l, nil
}

func (l layout) offset(page uint32) int64 { return (int64(page) - 1) * int64(l.PageSize) }

// freePages counts the pages that the list of free pages reaches, and those that the
// header says it has. walked is -1 for a list that names a page
// twice, one that does not exist, or more pages than a page of it has room for.
func freePages(f *os.File) (walked, counted int64, err error) {
	l, err := readLayout(f)
	if err != nil {
		return 0, 0, err
	}
	counted = int64(l.freeCount)
	seen := make([]uint64, l.Pages/64+1)
	reach := func(n uint32) bool {
		bit := uint64(1) << (n % 64)
		if n < 1 || n > l.Pages || seen[n/64]&bit != 0 {
			return false
		}
		seen[n/64] |= bit
		walked++
		return true
	}
	page := make([]byte, l.PageSize)
	for n := l.freeHead; n != 0; {
		if !reach(n) {
			return -1, counted, nil
		}
		if err := l.Page(n, page); err != nil {
			return 0, 0, err
		}
		trunk, err := sqlitefile.ParseTrunk(page, l.Usable)
		if err != nil {
			return -1, counted, nil
		}
		for _, leaf := range trunk.Leaves {
			if !reach(leaf) {
				return -1, counted, nil
			}
		}
		n = trunk.Next
	}
	return walked, counted, nil
}
