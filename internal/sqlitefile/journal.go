package sqlitefile

import (
	"encoding/binary"
)

// A rollback journal (§3) begins with a header, filled up to a whole sector, and goes on
// with the pages that a transaction has changed, as they were before. Big-endian.
//
//	0       8         12      16              20            24          28
//	+-------+---------+-------+---------------+-------------+-----------+
//	| magic | records | nonce | initial pages | sector size | page size |
//	+-------+---------+-------+---------------+-------------+-----------+
//
// SQLite takes a journal for one of a transaction that was cut off by its first byte: one
// that is over is deleted, cut to nothing, or zeroed at its start.

// JournalHeaderSize is the length of the header in bytes, without what fills its sector.
const JournalHeaderSize = 28

// JournalMagic is what the journal of a transaction begins with.
const JournalMagic = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"

// minSector is the smallest sector size in bytes that SQLite accepts.
const minSector = 32

// JournalHeader is the header of a rollback journal.
type JournalHeader [JournalHeaderSize]byte

// JournalPending reports whether a journal with this first byte may belong to a
// transaction, one under way or one that was cut off.
func JournalPending(first byte) bool { return first != 0 }

// HasMagic reports whether SQLite goes by the header at all.
func (h *JournalHeader) HasMagic() bool { return string(h[:len(JournalMagic)]) == JournalMagic }

// InitialPages returns the size that a rollback gives the database, in pages.
func (h *JournalHeader) InitialPages() uint32 { return binary.BigEndian.Uint32(h[16:]) }

// Sector returns the sector size in bytes.
func (h *JournalHeader) Sector() uint32 { return binary.BigEndian.Uint32(h[20:]) }

// PageSize returns the page size in bytes; 0 is the database's.
func (h *JournalHeader) PageSize() uint32 { return binary.BigEndian.Uint32(h[24:]) }

// SizesAllowed reports whether sector and page size are such as SQLite accepts. It takes a
// header of any other for the journal's end (pager.c: readJournalHdr).
func (h *JournalHeader) SizesAllowed() bool {
	return powerOfTwo(h.Sector(), minSector, MaxPageSize) && (h.PageSize() == 0 || powerOfTwo(h.PageSize(), MinPageSize, MaxPageSize))
}

// NewJournalHeader returns the first sector of a journal: its header, and zeros.
func NewJournalHeader(records, nonce, initialPages, pageSize uint32) []byte {
	const sector = 512
	h := make([]byte, sector)
	copy(h, JournalMagic)
	for i, v := range []uint32{records, nonce, initialPages, sector, pageSize} {
		binary.BigEndian.PutUint32(h[len(JournalMagic)+4*i:], v)
	}
	return h
}

// JournalChecksum is what follows a page in a journal with that nonce (pager.c: pager_cksum).
func JournalChecksum(nonce uint32, page []byte) uint32 {
	const step = 200
	for i := len(page) - step; i > 0; i -= step {
		nonce += uint32(page[i])
	}
	return nonce
}
