package sqlitefile

import (
	"encoding/binary"
	"fmt"
)

// The freelist (§1.5) is a chain of trunk pages; the header names the first:
//
//	+------------+-----------+-------------+---
//	| next trunk | leaves: n | n leaf pages …      4 bytes each
//	+------------+-----------+-------------+---
//
// A leaf page has nothing in it that counts.

// Trunk is a trunk page of the freelist.
type Trunk struct {
	Next   uint32 // 0 for the last
	Leaves []uint32
}

// ParseTrunk parses a trunk page. usable are the bytes of a page that are SQLite's. Where
// the page counts more leaves than it has room for, those that fit are returned with
// the error.
func ParseTrunk(page []byte, usable int) (Trunk, error) {
	usable = min(usable, len(page))
	if usable < 8 {
		return Trunk{}, fmt.Errorf("freelist: trunk page of %d bytes: %w", usable, ErrMalformed)
	}
	count, room := binary.BigEndian.Uint32(page[4:]), uint32(usable/4-2)
	t := Trunk{Next: binary.BigEndian.Uint32(page), Leaves: make([]uint32, min(count, room))}
	for i := range t.Leaves {
		t.Leaves[i] = binary.BigEndian.Uint32(page[8+4*i:])
	}
	if count > room {
		return t, fmt.Errorf("freelist: trunk page of %d leaves: %w", count, ErrMalformed)
	}
	return t, nil
}
