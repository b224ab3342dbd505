package integrity

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// headerFields are the codes of fields in the database header that can be told from
// the rest of the file, or have one value only.
var headerFields = []Code{CodeHeaderFractions, CodeHeaderVersion, CodeHeaderSchema, CodeHeaderEncoding}

// mendHeader gives damaged fields of the header of the private database at path the
// value that they must have had. That it was the right one is for the full check to prove.
func mendHeader(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var h header
	if err := readAt(f, h.raw[:], 0); err != nil {
		return err
	}
	copy(h.raw[21:24], []byte{64, 32, 32}) // payload fractions (SQLite file format §1.3.5)
	h.mendVersions()
	if format := h.u32(44); format > 4 {
		format &= 0xff // all that SQLite reads of it (§1.3.10)
		if format > 4 || format == 0 {
			format = 4
		}
		binary.BigEndian.PutUint32(h.raw[44:], format)
	}
	if err := h.mendEncoding(f); err != nil {
		return err
	}
	_, err = f.WriteAt(h.raw[:], 0)
	return err
}

// mendVersions gives a damaged file format version the value of the other, or that of
// a database without a log.
func (h *header) mendVersions() {
	good := byte(1)
	for _, v := range h.raw[18:20] {
		if v == 1 || v == 2 {
			good = v
		}
	}
	for i := range h.raw[18:20] {
		if v := &h.raw[18+i]; *v != 1 && *v != 2 {
			*v = good
		}
	}
}

// mendEncoding sets a damaged text encoding to the one that the schema on page 1 is
// written in, or where that has none, to what SQLite reads of the field.
func (h *header) mendEncoding(r io.ReaderAt) error {
	says, is := h.u32(56), uint32(0)
	if size := h.pageSize(); size != 0 {
		page := make([]byte, size)
		if err := readAt(r, page, 0); err != nil {
			return err
		}
		is = encodingOf(firstText(page))
	}
	switch {
	case is == 0 && says > 3:
		is = max(says&3, 1) // §1.3.13
	case is == 0 || is == max(says, 1):
		return nil
	}
	binary.BigEndian.PutUint32(h.raw[56:], is)
	return nil
}
