package sqlitefile

import (
	"encoding/binary"
	"fmt"
)

// An auto_vacuum database has pointer map pages (§1.8): the first is page 2, and each
// is followed by the pages that it has entries for.
//
//	+------+-------------+------+-------------+---
//	| type | parent page | type | parent page | …     1 + 4 bytes for each page that follows
//	+------+-------------+------+-------------+---

// PointerType says what a page is, and so what its parent is.
type PointerType byte

// The types of pages in a pointer map.
const (
	PointerRoot          PointerType = 1 // root of a b-tree; no parent
	PointerFree          PointerType = 2 // free; no parent
	PointerOverflowFirst PointerType = 3 // first overflow page; the parent has the cell
	PointerOverflow      PointerType = 4 // further overflow page; the parent is the one before it
	PointerBTree         PointerType = 5 // b-tree page that is no root
)

const pointerSize = 5 // bytes

// Pointer is an entry of a pointer map page.
type Pointer struct {
	Type   PointerType
	Parent uint32
}

// PointerMapOf returns the number of the pointer map page that has the entry of page
// n; its own number for a pointer map page, 0 for page 1.
func PointerMapOf(n uint32, pageSize, usable int) uint32 {
	if n < 2 || usable < MinUsable {
		return 0
	}
	group := uint32(usable/pointerSize + 1)
	at := (n-2)/group*group + 2
	if at == LockPage(pageSize) {
		at++ // it comes after the page that stores nothing
	}
	return at
}

// IsPointerMap reports whether page n is a pointer map page of a database that has them.
func IsPointerMap(n uint32, pageSize, usable int) bool {
	return n >= 2 && PointerMapOf(n, pageSize, usable) == n
}

// PointerMapPages counts the pointer map pages of an auto_vacuum database of so many pages.
func PointerMapPages(pages uint32, pageSize, usable int) uint32 {
	if pages < 2 || usable < MinUsable {
		return 0
	}
	n := (pages-2)/uint32(usable/pointerSize+1) + 1
	if PointerMapOf(pages, pageSize, usable) > pages {
		n-- // the last one would follow the lock page, with which the database ends
	}
	return n
}

// PointerTo returns the entry of page n in its pointer map page.
func PointerTo(n uint32, mapPage []byte, pageSize, usable int) (Pointer, error) {
	at := PointerMapOf(n, pageSize, usable)
	if at == 0 || n <= at {
		return Pointer{}, fmt.Errorf("pointer map: page %d has no entry: %w", n, ErrMalformed)
	}
	off := int(n-at-1) * pointerSize
	if off+pointerSize > len(mapPage) {
		return Pointer{}, fmt.Errorf("pointer map: page of %d bytes: %w", len(mapPage), ErrMalformed)
	}
	return Pointer{PointerType(mapPage[off]), binary.BigEndian.Uint32(mapPage[off+1:])}, nil
}
