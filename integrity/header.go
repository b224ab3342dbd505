package integrity

import (
	"bytes"
	"encoding/binary"
)

// headerSize is the length of the database header at the start of page 1
// (SQLite file format §1.3).
const headerSize = 100

// minPage is the smallest page size in bytes (§1.3.2).
const minPage = 512

const magic = "SQLite format 3\x00"

// header is the database header. Offsets are those of the file format's table.
type header struct {
	raw [headerSize]byte
}

func (h *header) u32(off int) uint32 { return binary.BigEndian.Uint32(h.raw[off:]) }

func (h *header) magic() bool { return string(h.raw[:16]) == magic }

// pageSize returns the page size in bytes, or 0 when the field holds none (§1.3.2).
func (h *header) pageSize() int {
	v := int(binary.BigEndian.Uint16(h.raw[16:]))
	if v == 1 {
		return 65536
	}
	if !powerOfTwo(uint32(v), minPage) {
		return 0
	}
	return v
}

// wal reports whether the read version asks for a write-ahead log (§1.3.3).
func (h *header) wal() bool { return h.raw[19] == 2 }

// pageCount returns the page count in the header and whether it counts: old
// writers leave it alone, and then the change counter (offset 24) and the
// version-valid-for number (offset 92) differ (§1.3.9).
func (h *header) pageCount() (n uint32, valid bool) {
	n = h.u32(28)
	return n, n > 0 && h.u32(24) == h.u32(92)
}

// judge files what is wrong with the header itself. pages is the image's size
// in pages, or 0 when unknown.
func (h *header) judge(t *results, pages int64) {
	if h.pageSize() == 0 {
		t.add(CodeHeaderPageSize, "the page size in the header is %d: it must be a power of two from 512 to 65536",
			binary.BigEndian.Uint16(h.raw[16:]))
	}
	if w, r := h.raw[18], h.raw[19]; w != 1 && w != 2 || r != 1 && r != 2 {
		t.add(CodeHeaderVersion, "the file format versions in the header are %d (write) and %d (read): they must be 1 or 2", w, r)
	}
	if s := h.pageSize(); s != 0 && s-int(h.raw[20]) < 480 {
		t.add(CodeHeaderReservedLen, "%d reserved bytes leave %d usable bytes in a page: at least 480 are needed", h.raw[20], s-int(h.raw[20]))
	}
	if !bytes.Equal(h.raw[21:24], []byte{64, 32, 32}) {
		t.add(CodeHeaderFractions, "the payload fractions in the header are %d, %d, %d: they must be 64, 32, 32", h.raw[21], h.raw[22], h.raw[23])
	}
	if f := h.u32(44); f > 4 {
		t.add(CodeHeaderSchema, "the schema format number in the header is %d: at most 4 is known", f)
	}
	if e := h.u32(56); e > 3 {
		t.add(CodeHeaderEncoding, "the text encoding in the header is %d: it must be 1, 2 or 3", e)
	}
	if !bytes.Equal(h.raw[72:92], make([]byte, 20)) {
		t.add(CodeHeaderReserved, "header bytes 72 to 91, reserved for future versions of SQLite, are not zero")
	}
	h.judgeReferences(t, pages)
}

func (h *header) judgeReferences(t *results, pages int64) {
	head, count := h.u32(32), h.u32(36)
	switch {
	case (head == 0) != (count == 0):
		t.add(CodeHeaderFreelist, "the list of free pages begins at page %d and counts %d pages", head, count)
	case pages > 0 && (int64(head) > pages || int64(count) >= pages):
		t.add(CodeHeaderFreelist, "the list of free pages begins at page %d and counts %d pages, and the database has %d", head, count, pages)
	case head == 1:
		t.add(CodeHeaderFreelist, "the list of free pages begins at page 1, which is never free")
	}
	root := h.u32(52)
	switch {
	case pages > 0 && int64(root) > pages:
		t.add(CodeHeaderVacuum, "the largest root page is %d, and the database has %d pages", root, pages)
	case h.pointerMap(root):
		t.add(CodeHeaderVacuum, "the largest root page is %d, which is a pointer map page", root)
	case root == 0 && h.u32(64) != 0:
		t.add(CodeHeaderVacuum, "incremental vacuum is on in a database that keeps no pointer map")
	}
	if root != 0 && h.pointerMap(head) {
		t.add(CodeHeaderFreelist, "the list of free pages begins at page %d, which is a pointer map page", head)
	}
}

// pointerMap reports whether page n is a pointer map page of a database that has
// them: the first is page 2, and each is followed by the pages that it has entries of
// five bytes for (§1.8). One that would fall on the lock-byte page comes after it.
func (h *header) pointerMap(n uint32) bool {
	size := h.pageSize()
	usable := size - int(h.raw[20])
	if n < 2 || usable < 480 || int64(n) == lockBytePage(size) {
		return false
	}
	return (int(n)-2)%(usable/5+1) == 0
}
