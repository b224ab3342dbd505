package sqlitefile

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
)

// Sizes in bytes.
const (
	HeaderSize  = 100
	MinPageSize = 512
	MaxPageSize = 65536
	MinUsable   = 480 // of a page, without its reserved bytes (§1.3.4)
)

// Magic is what every database file begins with.
const Magic = "SQLite format 3\x00"

// Header is the database header (§1.3). All numbers are big-endian.
//
//	 0  16  Magic                        48   4  suggested cache size
//	16   2  page size; 1 is 65536        52   4  largest root page; 0 without auto_vacuum
//	18   1  write version                56   4  text encoding
//	19   1  read version                 60   4  user_version
//	20   1  reserved bytes of a page     64   4  incremental vacuum, where not 0
//	21   3  payload fractions            68   4  application_id
//	24   4  change counter               72  20  zero
//	28   4  pages in the database        92   4  version-valid-for
//	32   4  first trunk of the freelist  96   4  version of SQLite that wrote it last
//	36   4  pages in the freelist
//	40   4  schema cookie
//	44   4  schema format, 1 to 4
type Header [HeaderSize]byte

const (
	offPageSize      = 16
	offVersions      = 18
	offReserved      = 20
	offFractions     = 21
	offChangeCounter = 24
	offPageCount     = 28
	offFreelist      = 32
	offFreelistCount = 36
	offSchemaCookie  = 40
	offSchemaFormat  = 44
	offLargestRoot   = 52
	offEncoding      = 56
	offUserVersion   = 60
	offIncremental   = 64
	offApplicationID = 68
	offZero, endZero = 72, 92
	offVersionValid  = 92
	maxSchemaFormat  = 4
)

// File format versions (§1.3.3): what a program must know to write and to read the file.
const (
	VersionRollback = 1 // rollback journal
	VersionWAL      = 2 // write-ahead log
)

// fractions are the payload fractions that every file has (§1.3.5).
var fractions = [3]byte{64, 32, 32}

// HeaderOf returns the header in page 1, not copied: its setters change the page. It is nil
// where the page is too short to have one.
func HeaderOf(page1 []byte) *Header {
	if len(page1) < HeaderSize {
		return nil
	}
	return (*Header)(page1[:HeaderSize])
}

func (h *Header) u32(off int) uint32      { return binary.BigEndian.Uint32(h[off:]) }
func (h *Header) put32(off int, v uint32) { binary.BigEndian.PutUint32(h[off:], v) }
func powerOfTwo(n, least, most uint32) bool {
	return n >= least && n <= most && bits.OnesCount32(n) == 1
}

// HasMagic reports whether the file begins as an SQLite database does.
func (h *Header) HasMagic() bool { return string(h[:len(Magic)]) == Magic }

// PageSize returns the page size in bytes, 0 where the field has none that is allowed (§1.3.2).
func (h *Header) PageSize() int {
	switch v := uint32(h.RawPageSize()); {
	case v == 1:
		return MaxPageSize
	case powerOfTwo(v, MinPageSize, MaxPageSize/2):
		return int(v)
	}
	return 0
}

// SetMagic sets what every database file begins with.
func (h *Header) SetMagic() { copy(h[:], Magic) }

// SetPageSize sets the page size, one that is allowed.
func (h *Header) SetPageSize(n int) {
	binary.BigEndian.PutUint16(h[offPageSize:], uint16(n%MaxPageSize+n/MaxPageSize))
}

// RawPageSize returns the field of the page size as it is.
func (h *Header) RawPageSize() uint16 { return binary.BigEndian.Uint16(h[offPageSize:]) }

// Versions returns the file format versions. ValidVersion says which are known.
func (h *Header) Versions() (write, read byte) { return h[offVersions], h[offVersions+1] }

// SetVersions sets the file format versions.
func (h *Header) SetVersions(write, read byte) { h[offVersions], h[offVersions+1] = write, read }

// ValidVersion reports whether v is a file format version that SQLite knows.
func ValidVersion(v byte) bool { return v == VersionRollback || v == VersionWAL }

// UsesWAL reports whether the database has a write-ahead log: SQLite decides by the
// read version.
func (h *Header) UsesWAL() bool { return h[offVersions+1] == VersionWAL }

// Reserved returns how many bytes at the end of every page are not SQLite's (§1.3.4).
func (h *Header) Reserved() int { return int(h[offReserved]) }

// Usable returns how many bytes of a page are SQLite's. It is below MinUsable, or
// negative, where page size and reserved bytes do not go together.
func (h *Header) Usable() int { return h.PageSize() - h.Reserved() }

// Fractions returns the payload fractions, and whether they are those of every file.
func (h *Header) Fractions() (f [3]byte, ok bool) {
	f = [3]byte(h[offFractions:])
	return f, f == fractions
}

// SetFractions sets the payload fractions.
func (h *Header) SetFractions() { copy(h[offFractions:], fractions[:]) }

// ChangeCounter returns the counter that every transaction in a rollback-journal mode
// raises; in WAL mode it does not move with each (§1.3.6).
func (h *Header) ChangeCounter() uint32 { return h.u32(offChangeCounter) }

// VersionValidFor returns the change counter at which the page count was written (§1.3.15).
func (h *Header) VersionValidFor() uint32 { return h.u32(offVersionValid) }

// Counters returns the bytes that change with the content: change counter and
// version-valid-for.
func (h *Header) Counters() (b [8]byte) {
	copy(b[:], h[offChangeCounter:offChangeCounter+4])
	copy(b[4:], h[offVersionValid:offVersionValid+4])
	return b
}

// PageCount returns the page count in the header and whether it counts: old writers
// leave it alone, and then the change counter and version-valid-for differ (§1.3.7).
func (h *Header) PageCount() (n uint32, valid bool) {
	n = h.u32(offPageCount)
	return n, n > 0 && h.ChangeCounter() == h.VersionValidFor()
}

// SetPageCount sets the page count, and that it counts.
func (h *Header) SetPageCount(n uint32) {
	h.put32(offPageCount, n)
	h.put32(offVersionValid, h.ChangeCounter())
}

// Freelist returns the first trunk page of the freelist and how many pages it has.
func (h *Header) Freelist() (trunk, pages uint32) { return h.u32(offFreelist), h.u32(offFreelistCount) }

// ClearFreelist makes the freelist empty.
func (h *Header) ClearFreelist() { h.put32(offFreelist, 0); h.put32(offFreelistCount, 0) }

// SchemaCookie returns the number that changes with the schema (PRAGMA schema_version).
func (h *Header) SchemaCookie() uint32 { return h.u32(offSchemaCookie) }

// SchemaFormat returns the schema format number and whether it is one that SQLite
// knows; 0 is for a database without a schema (§1.3.10).
func (h *Header) SchemaFormat() (v uint32, ok bool) {
	v = h.u32(offSchemaFormat)
	return v, v <= maxSchemaFormat
}

// SchemaFormatRead returns the schema format that SQLite takes an unknown one for: it
// reads the lowest byte only.
func SchemaFormatRead(v uint32) uint32 {
	if v &= 0xff; v > maxSchemaFormat || v == 0 {
		return maxSchemaFormat
	}
	return v
}

// SetSchemaFormat sets the schema format number.
func (h *Header) SetSchemaFormat(v uint32) { h.put32(offSchemaFormat, v) }

// LargestRoot returns the largest root page of an auto_vacuum database, 0 of any other (§1.3.12).
func (h *Header) LargestRoot() uint32 { return h.u32(offLargestRoot) }

// IncrementalVacuum reports whether free pages of an auto_vacuum database stay until
// they are asked for.
func (h *Header) IncrementalVacuum() bool { return h.u32(offIncremental) != 0 }

// Encoding returns the text encoding, UTF8 where the field is 0: the database has no schema.
func (h *Header) Encoding() Encoding { return Encoding(max(h.u32(offEncoding), 1)) }

// SetEncoding sets the text encoding.
func (h *Header) SetEncoding(e Encoding) { h.put32(offEncoding, uint32(e)) }

// UserVersion returns PRAGMA user_version.
func (h *Header) UserVersion() int32 { return int32(h.u32(offUserVersion)) }

// ApplicationID returns PRAGMA application_id.
func (h *Header) ApplicationID() int32 { return int32(h.u32(offApplicationID)) }

// ZeroesAreZero reports whether the bytes reserved for future versions of SQLite are zero.
func (h *Header) ZeroesAreZero() bool {
	return [endZero - offZero]byte(h[offZero:endZero]) == [endZero - offZero]byte{}
}

// IsPointerMap reports whether page n would be a pointer map page of this database; it
// has them only where LargestRoot is not 0.
func (h *Header) IsPointerMap(n uint32) bool {
	return h.PageSize() != 0 && IsPointerMap(n, h.PageSize(), h.Usable())
}

// Encoding is a text encoding (§1.3.13).
type Encoding uint32

// The text encodings.
const (
	UTF8    Encoding = 1
	UTF16LE Encoding = 2
	UTF16BE Encoding = 3
)

// Valid reports whether there is such an encoding.
func (e Encoding) Valid() bool { return e >= UTF8 && e <= UTF16BE }

// Text returns a text of the encoding.
func (e Encoding) Text(b []byte) string {
	order := binary.ByteOrder(binary.LittleEndian)
	switch e {
	case UTF16LE:
	case UTF16BE:
		order = binary.BigEndian
	default:
		return string(b)
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// Encode is the bytes of a text in the encoding.
func (e Encoding) Encode(s string) []byte {
	order := binary.ByteOrder(binary.LittleEndian)
	switch e {
	case UTF16LE:
	case UTF16BE:
		order = binary.BigEndian
	default:
		return []byte(s)
	}
	units := utf16.Encode([]rune(s))
	b := make([]byte, 2*len(units))
	for i, u := range units {
		order.PutUint16(b[2*i:], u)
	}
	return b
}

// SchemaEncoding returns the encoding in which the kind of an object of the schema is written,
// one of four words; 0 where it is none of them.
func SchemaEncoding(kind []byte) Encoding {
	for e := UTF8; e <= UTF16BE; e++ {
		switch e.Text(kind) {
		case "table", "index", "view", "trigger":
			return e
		}
	}
	return 0
}

// Read returns the encoding that SQLite takes an unknown one for: it reads two bits only.
func (e Encoding) Read() Encoding {
	if e.Valid() {
		return e
	}
	return max(e&3, UTF8)
}

// String returns the encoding's name as PRAGMA encoding has it.
func (e Encoding) String() string {
	switch e {
	case UTF8:
		return "UTF-8"
	case UTF16LE:
		return "UTF-16le"
	case UTF16BE:
		return "UTF-16be"
	}
	return fmt.Sprintf("encoding %d", uint32(e))
}
