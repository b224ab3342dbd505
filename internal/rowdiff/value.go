package rowdiff

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"example.com/snapd/internal/sqlitefile"
)

// Row is a row as it is stored, in the columns that are compared. Its text is of the Diff's encoding.
type Row struct {
	ID     int64 // the rowid, or its place where there is none
	Values []sqlitefile.Value
	keys   []sqlitefile.Value // the key in UTF-8, where it is kept next to the values
}

// identical reports whether two values are stored alike: 1 and 1.0 are not, 0.0 and -0.0 are, since SQLite stores one for both.
func identical(a, b sqlitefile.Value) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case sqlitefile.Integer:
		return a.Int == b.Int
	case sqlitefile.Real:
		return a.Float == b.Float
	case sqlitefile.Text, sqlitefile.Blob:
		return bytes.Equal(a.Bytes, b.Bytes)
	}
	return true
}

func identicalRows(a, b *Row) bool {
	for i := range a.Values {
		if !identical(a.Values[i], b.Values[i]) {
			return false
		}
	}
	return true
}

// appendRow appends the values so that readRow reads them.
func appendRow(b []byte, r *Row) []byte {
	for _, v := range r.Values {
		b = append(b, byte(v.Kind))
		switch v.Kind {
		case sqlitefile.Integer:
			b = binary.BigEndian.AppendUint64(b, uint64(v.Int))
		case sqlitefile.Real:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float+0)) // 0 for -0
		case sqlitefile.Text, sqlitefile.Blob:
			b = binary.BigEndian.AppendUint32(b, uint32(len(v.Bytes)))
			b = append(b, v.Bytes...)
		}
	}
	return b
}

// readRow reads what appendRow wrote, into as many values as r has. Their bytes are borrowed from b.
func readRow(b []byte, r *Row) error {
	for i := range r.Values {
		if len(b) == 0 {
			return fmt.Errorf("scratch row of %d values ends at %d", len(r.Values), i)
		}
		v := sqlitefile.Value{Kind: sqlitefile.Kind(b[0])}
		b = b[1:]
		switch v.Kind {
		case sqlitefile.Integer:
			v.Int, b = int64(binary.BigEndian.Uint64(b)), b[8:]
		case sqlitefile.Real:
			v.Float, b = math.Float64frombits(binary.BigEndian.Uint64(b)), b[8:]
		case sqlitefile.Text, sqlitefile.Blob:
			n := binary.BigEndian.Uint32(b)
			v.Bytes, b = b[4:4+n], b[4+n:]
		}
		r.Values[i] = v
	}
	return nil
}

// digest stands for the content of a row.
func (r *Row) digest(scratch []byte) ([sha256.Size]byte, []byte) {
	scratch = appendRow(scratch[:0], r)
	return sha256.Sum256(scratch), scratch
}

// Digest stands for the content of a row.
type Digest [sha256.Size]byte

// DigestOf is the digest of the values of a row, in their order.
func DigestOf(values []sqlitefile.Value) *Digest {
	d := Digest(sha256.Sum256(appendRow(nil, &Row{Values: values})))
	return &d
}
