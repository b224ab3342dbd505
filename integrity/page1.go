package integrity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"example.com/snapd/internal/sqlitefile"
)

// judgePage1 looks at the part after the header: the root of the schema's table,
// which always has rowids, and the encoding of the first word in it.
func (f *files) judgePage1(t *results, h *header, log *sqlitefile.Log) error {
	from, off, room := f.main, int64(0), f.size
	if log.Page1 != 0 {
		from, off, room = f.wal, log.Page1, f.walSize-log.Page1
	}
	page := make([]byte, min(int64(h.PageSize()), room))
	if len(page) <= sqlitefile.HeaderSize {
		return nil
	}
	if err := readAt(from, page, off); err != nil {
		return fmt.Errorf("read page 1: %w", err)
	}
	switch sqlitefile.PageType(page[sqlitefile.HeaderSize]) {
	case sqlitefile.TableInterior:
	case sqlitefile.TableLeaf:
		h.judgeEncoding(t, firstText(page, h.Usable()))
	default:
		t.add(CodeSchemaTable, "page 1 does not hold the schema's table: its type is %d", page[sqlitefile.HeaderSize])
	}
	return nil
}

// firstText returns the first column, a text, of the first row on page 1; nil when
// there is none.
func firstText(page []byte, usable int) []byte {
	p, err := sqlitefile.ParsePage(page, 1, usable)
	if err != nil || p.Cells() == 0 {
		return nil
	}
	cell, err := p.Cell(0)
	if err != nil {
		return nil
	}
	row, err := sqlitefile.ParseRecord(cell.Local) // the rest may be on other pages
	if err != nil {
		return nil
	}
	if v, err := row.Value(0); err == nil && v.Kind == sqlitefile.Text {
		return v.Bytes
	}
	return nil
}

// encodings write a text in each encoding.
var encodings = map[sqlitefile.Encoding]func(string) []byte{
	sqlitefile.UTF8:    func(s string) []byte { return []byte(s) },
	sqlitefile.UTF16LE: func(s string) []byte { return utf16Bytes(s, binary.LittleEndian) },
	sqlitefile.UTF16BE: func(s string) []byte { return utf16Bytes(s, binary.BigEndian) },
}

func utf16Bytes(s string, order binary.AppendByteOrder) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

// judgeEncoding compares the header's encoding with the one of the kind of the
// schema's first object.
func (h *header) judgeEncoding(t *results, kind []byte) {
	says := h.Encoding()
	if is := encodingOf(kind); is != 0 && is != says {
		t.add(CodeHeaderEncoding, "the text encoding in the header is %d, and the schema is written in encoding %d", uint32(says), uint32(is))
	}
}

// encodingOf returns the encoding that the kind of an object, one of four words, is
// written in; 0 when it is none of them.
func encodingOf(kind []byte) sqlitefile.Encoding {
	for encoding, write := range encodings {
		for _, word := range []string{"table", "index", "view", "trigger"} {
			if bytes.Equal(kind, write(word)) {
				return encoding
			}
		}
	}
	return 0
}
