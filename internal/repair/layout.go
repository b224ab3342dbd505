package repair

import (
	"encoding/binary"
	"io"
	"os"
)

// layout is where the pages of a database file are.
type layout struct {
	pages     uint32 // whole ones in the file
	pageSize  int    // bytes
	usable    int    // bytes of a page that are SQLite's
	freeHead  uint32 // first page of the list of free pages
	freeCount uint32
}

// readLayout reads the header (SQLite file format §1.3).
func readLayout(f *os.File) (l layout, err error) {
	var h [100]byte
	if _, err := f.ReadAt(h[:], 0); err != nil {
		return l, err
	}
	fi, err := f.Stat()
	if err != nil {
		return l, err
	}
	l.pageSize = int(binary.BigEndian.Uint16(h[16:]))
	if l.pageSize == 1 {
		l.pageSize = 65536
	}
	l.usable = l.pageSize - int(h[20])
	if l.pageSize < 512 || l.pageSize&(l.pageSize-1) != 0 || l.usable < 480 {
		return l, notRepairable("the header names no page size")
	}
	l.pages = uint32(fi.Size() / int64(l.pageSize))
	l.freeHead, l.freeCount = binary.BigEndian.Uint32(h[32:]), binary.BigEndian.Uint32(h[36:])
	return l, nil
}

func (l layout) offset(page uint32) int64 { return (int64(page) - 1) * int64(l.pageSize) }

// freePages counts the pages that the list of free pages reaches, and those that the
// header says it has (SQLite file format §1.5). walked is -1 for a list that names a page
// twice, one that does not exist, or more pages than a page of it has room for.
func freePages(f *os.File) (walked, counted int64, err error) {
	l, err := readLayout(f)
	if err != nil {
		return 0, 0, err
	}
	counted = int64(l.freeCount)
	seen := make([]uint64, l.pages/64+1)
	reach := func(n uint32) bool {
		bit := uint64(1) << (n % 64)
		if n < 1 || n > l.pages || seen[n/64]&bit != 0 {
			return false
		}
		seen[n/64] |= bit
		walked++
		return true
	}
	trunk := make([]byte, l.usable)
	for n := l.freeHead; n != 0; n = binary.BigEndian.Uint32(trunk) {
		if !reach(n) {
			return -1, counted, nil
		}
		if _, err := io.ReadFull(io.NewSectionReader(f, l.offset(n), int64(l.usable)), trunk); err != nil {
			return 0, 0, err
		}
		leaves := int64(binary.BigEndian.Uint32(trunk[4:]))
		if leaves > int64(l.usable/4-2) {
			return -1, counted, nil
		}
		for i := range leaves {
			if !reach(binary.BigEndian.Uint32(trunk[8+4*i:])) {
				return -1, counted, nil
			}
		}
	}
	return walked, counted, nil
}
