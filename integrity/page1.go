package integrity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// judgePage1 looks at what follows the header: the root of the schema's table,
// which has rowids whatever is in it, and the encoding of the first word in it.
func (f *files) judgePage1(t *results, h *header, walk *walWalk) error {
	from, off, room := f.main, int64(0), f.size
	if walk.page1 != 0 {
		from, off, room = f.wal, walk.page1, f.walSize-walk.page1
	}
	page := make([]byte, min(int64(h.pageSize()), room))
	if len(page) <= headerSize {
		return nil
	}
	if err := readAt(from, page, off); err != nil {
		return fmt.Errorf("read page 1: %w", err)
	}
	switch page[headerSize] {
	case tableInterior:
	case tableLeaf:
		h.judgeEncoding(t, firstText(page))
	default:
		t.add(CodeSchemaTable, "page 1 does not hold the schema's table: its type is %d", page[headerSize])
	}
	return nil
}

// firstText returns the first column, a short text, of the first row on page 1, a
// leaf; nil when there is none (SQLite file format §1.6 and §2.1).
func firstText(page []byte) []byte {
	const cells = headerSize + 8
	if len(page) < cells+2 || binary.BigEndian.Uint16(page[headerSize+3:]) == 0 {
		return nil
	}
	rest := page[min(int(binary.BigEndian.Uint16(page[cells:])), len(page)):]
	for range 2 { // the payload's size and the rowid
		_, n := varint(rest)
		rest = rest[n:]
	}
	if len(rest) < 2 || rest[0] < 2 || int(rest[0]) > len(rest) {
		return nil
	}
	// The record's header: its own size and the columns' types, here of one byte each.
	length := (int(rest[1]) - 13) / 2
	if body := rest[rest[0]:]; rest[1]%2 == 1 && length > 0 && length <= len(body) {
		return body[:length]
	}
	return nil
}

// varint decodes SQLite's variable-length integer (file format §1.6) and its length, 0 when b is too short.
func varint(b []byte) (v uint64, n int) {
	for i, c := range b[:min(9, len(b))] {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		if v = v<<7 | uint64(c&0x7f); c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// encodings by their number in the header (§1.3.13).
var encodings = []func(string) []byte{
	1: func(s string) []byte { return []byte(s) },
	2: func(s string) []byte { return utf16Bytes(s, binary.LittleEndian) },
	3: func(s string) []byte { return utf16Bytes(s, binary.BigEndian) },
}

func utf16Bytes(s string, order binary.AppendByteOrder) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

// judgeEncoding compares the header's encoding with that of the kind of the
// schema's first object.
func (h *header) judgeEncoding(t *results, kind []byte) {
	says := max(h.u32(56), 1) // 0 is UTF-8 as well
	if is := encodingOf(kind); is != 0 && is != says {
		t.add(CodeHeaderEncoding, "the text encoding in the header is %d, and the schema is written in encoding %d", says, is)
	}
}

// encodingOf returns the number of the encoding that the kind of an object, one of
// four words, is written in; 0 when it is none of them.
func encodingOf(kind []byte) uint32 {
	for is := 1; is < len(encodings); is++ {
		for _, word := range []string{"table", "index", "view", "trigger"} {
			if bytes.Equal(kind, encodings[is](word)) {
				return uint32(is)
			}
		}
	}
	return 0
}
