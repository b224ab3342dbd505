package sqlitefile

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// Rollback is what a rollback journal puts back.
type Rollback struct {
	PageSize int              // bytes
	Pages    uint32           // of the database
	Before   map[uint32]int64 // offset of each page as it was, in the journal
}

// allRecords is the count of a journal that SQLite wrote without syncing it.
const allRecords = 0xffffffff

// ReadJournal reads a rollback journal as SQLite does when it rolls back: part by part, each with a header
// and records of page number, page and checksum, until one is not right. pageSize is the database's. The
// result is nil where there is nothing to roll back. An error is one of reading or the context's.
func ReadJournal(ctx context.Context, r io.ReaderAt, size int64, pageSize int) (*Rollback, error) {
	var back *Rollback
	for at := int64(0); at+JournalHeaderSize <= size; {
		var h JournalHeader
		if err := readFull(r, h[:], at); err != nil {
			return nil, fmt.Errorf("read journal header: %w", err)
		}
		if !h.HasMagic() || !h.SizesAllowed() {
			return back, nil
		}
		if h.PageSize() != 0 {
			pageSize = int(h.PageSize())
		}
		if pageSize == 0 || back != nil && pageSize != back.PageSize {
			return back, nil
		}
		if back == nil {
			back = &Rollback{PageSize: pageSize, Pages: h.InitialPages(), Before: map[uint32]int64{}}
		}
		sector := int64(h.Sector())
		n, err := back.records(ctx, r, size, at+sector, h)
		if err != nil || n < 0 {
			return back, err
		}
		at = (at + sector + n*int64(pageSize+8) + sector - 1) / sector * sector
	}
	return back, nil
}

// records reads the records of one part, and returns how many there are, or -1 where the journal ends.
func (b *Rollback) records(ctx context.Context, r io.ReaderAt, size, at int64, h JournalHeader) (int64, error) {
	length := int64(b.PageSize) + 8
	room := max(0, (size-at)/length)
	count, nonce := int64(binary.BigEndian.Uint32(h[8:])), binary.BigEndian.Uint32(h[12:])
	if count == allRecords {
		count = room
	}
	record := make([]byte, length)
	for i := range min(count, room) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := readFull(r, record, at+i*length); err != nil {
			return 0, fmt.Errorf("read journal record: %w", err)
		}
		n, page := binary.BigEndian.Uint32(record), record[4:4+b.PageSize]
		if n == 0 || n == LockPage(b.PageSize) || binary.BigEndian.Uint32(record[4+b.PageSize:]) != journalSum(nonce, page) {
			return -1, nil
		}
		if _, found := b.Before[n]; !found && n <= b.Pages {
			b.Before[n] = at + i*length + 4
		}
	}
	if count > room {
		return -1, nil
	}
	return count, nil
}

// journalSum is the checksum of a record: every 200th byte, from the end (pager.c: pager_cksum).
func journalSum(nonce uint32, page []byte) uint32 {
	for i := len(page) - 200; i > 0; i -= 200 {
		nonce += uint32(page[i])
	}
	return nonce
}
