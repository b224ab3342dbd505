package sqlitefile

import (
	"encoding/binary"
)

// The write-ahead log (§4.1) is a header and frames, each with one page. All numbers
// are big-endian; only the checksums read words of the order that the magic says.
//
//	0       4         8           12           16      20      24     28
//	+-------+---------+-----------+------------+-------+-------+------+------+
//	| magic | version | page size | checkpoint | salt 1| salt 2| sum 1| sum 2|   header, 32 bytes
//	+-------+---------+-----------+------------+-------+-------+------+------+
//	0       4         8       12      16     20     24
//	+-------+---------+-------+-------+------+------+---------+
//	| page  | commit  | salt 1| salt 2| sum 1| sum 2| content |                  frame 1, 24 bytes + page
//	+-------+---------+-------+-------+------+------+---------+
//	| …                                                       |                  frame 2, …
//
// commit is the size of the database in pages where the frame ends a transaction, else
// 0. A log that begins again has new salts in its header: frames with other salts are
// of an earlier generation. Checksums are one chain, from the header through bytes 0
// to 7 and the content of each frame (§4.2).

// Sizes of the log's parts in bytes.
const (
	WALHeaderSize   = 32
	FrameHeaderSize = 24
)

const (
	walMagic   = 0x377f0682 // the lowest bit says that checksums read big-endian words
	walVersion = 3007000
)

// WALHeader is the header of a write-ahead log.
type WALHeader [WALHeaderSize]byte

// Version returns the version of the log's format; ok is false where SQLite does not know it.
func (h *WALHeader) Version() (v uint32, ok bool) {
	v = binary.BigEndian.Uint32(h[4:])
	return v, v == walVersion
}

// PageSize returns the page size in bytes, 0 where the field has none that is allowed.
func (h *WALHeader) PageSize() int {
	if v := binary.BigEndian.Uint32(h[8:]); powerOfTwo(v, MinPageSize, MaxPageSize) {
		return int(v)
	}
	return 0
}

// Salts returns what the frames of this generation bear.
func (h *WALHeader) Salts() [8]byte { return [8]byte(h[16:24]) }

// Intact reports whether the header names a page size and has its right checksum.
// SQLite ignores the log otherwise.
func (h *WALHeader) Intact() bool {
	sum := h.Sum()
	return binary.BigEndian.Uint32(h[:])&^1 == walMagic && h.PageSize() != 0 && sum.Equals(h[24:])
}

// Valid reports whether SQLite reads the log: the header is intact and of a known version.
func (h *WALHeader) Valid() bool {
	_, known := h.Version()
	return known && h.Intact()
}

// Sum returns the checksum of the header, which the first frame's continues.
func (h *WALHeader) Sum() WALSum {
	sum := WALSum{BigEndian: h[3]&1 == 1}
	sum.Add(h[:24])
	return sum
}

// walHeaderOf returns a header of the given salts, as far as frames depend on it.
func walHeaderOf(pageSize int, salts [8]byte, bigEndian bool) (h WALHeader) {
	binary.BigEndian.PutUint32(h[:], walMagic)
	if bigEndian {
		h[3] |= 1
	}
	binary.BigEndian.PutUint32(h[4:], walVersion)
	binary.BigEndian.PutUint32(h[8:], uint32(pageSize))
	copy(h[16:], salts[:])
	return h
}

// Frame is a frame of a write-ahead log: its header and one page.
type Frame []byte

// Page returns the number of the frame's page; 0 is none, and the log ends before it.
func (f Frame) Page() uint32 { return binary.BigEndian.Uint32(f) }

// Commit returns the size of the database in pages where the frame ends a transaction, else 0.
func (f Frame) Commit() uint32 { return binary.BigEndian.Uint32(f[4:]) }

// Salts returns those of the generation that the frame is of.
func (f Frame) Salts() [8]byte { return [8]byte(f[8:16]) }

// Sum returns the bytes of the frame's checksum.
func (f Frame) Sum() []byte { return f[16:FrameHeaderSize] }

// Content returns the page.
func (f Frame) Content() []byte { return f[FrameHeaderSize:] }

// WALSum is the running checksum of a log.
type WALSum struct {
	BigEndian bool
	s1, s2    uint32
}

// Add goes on with b, of a multiple of 8 bytes.
func (w *WALSum) Add(b []byte) {
	s1, s2 := w.s1, w.s2
	if w.BigEndian {
		for ; len(b) >= 8; b = b[8:] {
			s1 += binary.BigEndian.Uint32(b) + s2
			s2 += binary.BigEndian.Uint32(b[4:]) + s1
		}
	} else {
		for ; len(b) >= 8; b = b[8:] {
			s1 += binary.LittleEndian.Uint32(b) + s2
			s2 += binary.LittleEndian.Uint32(b[4:]) + s1
		}
	}
	w.s1, w.s2 = s1, s2
}

// AddFrame goes on with a frame and reports whether the checksum that it states is right.
func (w *WALSum) AddFrame(f Frame) bool {
	w.Add(f[:8])
	w.Add(f.Content())
	return w.Equals(f.Sum())
}

// numbers returns the page's number and the size in pages with which the checksum of f would be
// right after w: the chain backwards, from the checksum that f states.
func (w WALSum) numbers(f Frame) (pgno, commit uint32) {
	var order binary.ByteOrder = binary.LittleEndian
	if w.BigEndian {
		order = binary.BigEndian
	}
	after := w
	after.Set(f.Sum())
	for b := f.Content(); len(b) > 0; b = b[:len(b)-8] {
		after.s2 -= order.Uint32(b[len(b)-4:]) + after.s1
		after.s1 -= order.Uint32(b[len(b)-8:]) + after.s2
	}
	var header [8]byte
	order.PutUint32(header[:], after.s1-w.s1-w.s2)
	order.PutUint32(header[4:], after.s2-w.s2-after.s1)
	return binary.BigEndian.Uint32(header[:]), binary.BigEndian.Uint32(header[4:])
}

// Equals reports whether the checksum is the one that is stored in b.
func (w *WALSum) Equals(b []byte) bool {
	return binary.BigEndian.Uint32(b) == w.s1 && binary.BigEndian.Uint32(b[4:]) == w.s2
}

// Values returns the two halves of the checksum, as they are stored big-endian.
func (w *WALSum) Values() (s1, s2 uint32) { return w.s1, w.s2 }

// Bytes is the checksum as it is stored.
func (w *WALSum) Bytes() (b [8]byte) {
	binary.BigEndian.PutUint32(b[:], w.s1)
	binary.BigEndian.PutUint32(b[4:], w.s2)
	return b
}

// Set goes on from the checksum that is stored in b.
func (w *WALSum) Set(b []byte) {
	w.s1, w.s2 = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
}
