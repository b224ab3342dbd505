package sqlitefile

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A record (§2.1) is the payload of a row or an index entry:
//
//	+-------------+---------------+---------------+---+---------+---------+---
//	| header size | serial type 1 | serial type 2 | … | value 1 | value 2 | …
//	+-------------+---------------+---------------+---+---------+---------+---
//	  varint        varint          varint
//
// The header size counts itself. A row has at most as many columns as its table:
// those that were added later are not in it.

// MaxColumns is the most columns that SQLite can be compiled for (SQLITE_MAX_COLUMN).
const MaxColumns = 32767

// Kind is the storage class of a value.
type Kind int

// The storage classes.
const (
	Null Kind = iota
	Integer
	Real
	Text
	Blob
)

// Value is one column of a record. Its bytes are borrowed from the record.
type Value struct {
	Kind  Kind
	Int   int64
	Float float64
	Bytes []byte // of a text, in the database's encoding, or of a blob
}

// Record is a record whose header is whole.
type Record struct {
	types  []uint64
	ends   []int64 // of the values in body, which may be shorter
	body   []byte
	header int // bytes
}

// ParseRecord parses the header of a record. payload may be the start of it only;
// Value then fails for columns beyond its end.
func ParseRecord(payload []byte) (Record, error) {
	size, n := Varint(payload)
	if n == 0 || size < uint64(n) || size > uint64(len(payload)) {
		return Record{}, fmt.Errorf("record: header of %d bytes in %d: %w", size, len(payload), ErrMalformed)
	}
	r := Record{body: payload[size:], header: int(size)}
	end := int64(0)
	for head := payload[n:size]; len(head) > 0; {
		t, n := Varint(head)
		length, ok := valueSize(t)
		if n == 0 || !ok || end > math.MaxInt64-length || len(r.types) == MaxColumns {
			return Record{}, fmt.Errorf("record: column %d: %w", len(r.types)+1, ErrMalformed)
		}
		head, end = head[n:], end+length
		r.types, r.ends = append(r.types, t), append(r.ends, end)
	}
	return r, nil
}

// Columns returns the number of columns.
func (r Record) Columns() int { return len(r.types) }

// Size returns how many bytes the record has by its header.
func (r Record) Size() int64 {
	if len(r.ends) == 0 {
		return int64(r.header)
	}
	return int64(r.header) + r.ends[len(r.ends)-1]
}

// Value returns column i, counted from 0.
func (r Record) Value(i int) (Value, error) {
	if i < 0 || i >= len(r.types) {
		return Value{}, fmt.Errorf("record: column %d of %d: %w", i+1, len(r.types), ErrMalformed)
	}
	from := int64(0)
	if i > 0 {
		from = r.ends[i-1]
	}
	if r.ends[i] > int64(len(r.body)) {
		return Value{}, fmt.Errorf("record: column %d ends at byte %d of %d: %w", i+1, r.ends[i], len(r.body), ErrMalformed)
	}
	return valueOf(r.types[i], r.body[from:r.ends[i]]), nil
}

// Serial types (§2.1): 0 NULL, 1 to 6 integers, 7 a float, 8 and 9 the integers 0 and
// 1, from 12 on blobs where even and texts where odd. 10 and 11 are not used in files.
var integerSizes = [...]int64{1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

const (
	serialInt64 = 6
	serialFloat = 7
	serialZero  = 8
	serialOne   = 9
	serialBlob  = 12
)

// valueSize returns the length of a value in bytes; ok is false where there is no such type.
func valueSize(t uint64) (n int64, ok bool) {
	switch {
	case t < serialFloat:
		return integerSizes[t], true
	case t == serialFloat:
		return 8, true
	case t <= serialOne:
		return 0, true
	case t < serialBlob:
		return 0, false
	}
	return int64((t - serialBlob) / 2), true
}

// valueOf decodes a value; b has the length that valueSize says.
func valueOf(t uint64, b []byte) Value {
	switch {
	case t == 0:
		return Value{Kind: Null}
	case t < serialFloat:
		return Value{Kind: Integer, Int: integer(b)}
	case t == serialFloat:
		return Value{Kind: Real, Float: math.Float64frombits(binary.BigEndian.Uint64(b))}
	case t <= serialOne:
		return Value{Kind: Integer, Int: int64(t - serialZero)}
	case t%2 == 0:
		return Value{Kind: Blob, Bytes: b}
	}
	return Value{Kind: Text, Bytes: b}
}

// integer decodes a big-endian integer in two's complement.
func integer(b []byte) (v int64) {
	v = int64(int8(b[0]))
	for _, c := range b[1:] {
		v = v<<8 | int64(c)
	}
	return v
}

// WithInteger returns the record with v in column i.
func (r Record) WithInteger(i int, v int64) ([]byte, error) {
	if i < 0 || i >= len(r.types) || r.Size() > int64(r.header)+int64(len(r.body)) {
		return nil, fmt.Errorf("record: column %d of %d: %w", i+1, len(r.types), ErrMalformed)
	}
	var head, body []byte
	from := int64(0)
	for n, t := range r.types {
		if n == i {
			head, body = appendVarint(head, serialInt64), binary.BigEndian.AppendUint64(body, uint64(v))
		} else {
			head, body = appendVarint(head, t), append(body, r.body[from:r.ends[n]]...)
		}
		from = r.ends[n]
	}
	return joinRecord(head, body), nil
}

// joinRecord is a record of the types in head and the values in body.
func joinRecord(head, body []byte) []byte {
	size := len(head) + 1
	if size > 127 { // the header's size counts its own bytes
		size = len(head) + len(appendVarint(nil, uint64(len(head)+2)))
	}
	return append(append(appendVarint(nil, uint64(size)), head...), body...)
}

// AutoIndexRecord is the schema's row of an index that SQLite makes by itself for a constraint of
// a table; its root page is 0.
func AutoIndexRecord(e Encoding, index, table string) []byte {
	var head, body []byte
	for _, s := range []string{"index", index, table} {
		text := e.Encode(s)
		head, body = appendVarint(head, uint64(serialBlob+1+2*len(text))), append(body, text...)
	}
	return joinRecord(append(head, serialZero, 0), body)
}
