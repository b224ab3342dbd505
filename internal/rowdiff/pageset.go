package rowdiff

import "math/bits"

// pageSet is a set of page numbers.
type pageSet []uint64

func newPageSet(pages uint32) pageSet { return make(pageSet, pages/64+1) }

func (s pageSet) has(n uint32) bool { return int(n/64) < len(s) && s[n/64]&(1<<(n%64)) != 0 }

func (s pageSet) add(n uint32) { s[n/64] |= 1 << (n % 64) }

func (s pageSet) remove(n uint32) { s[n/64] &^= 1 << (n % 64) }

// word is 64 pages of the set, none beyond its end.
func (s pageSet) word(i int) uint64 {
	if i < len(s) {
		return s[i]
	}
	return 0
}

// all calls fn with each page of a set in order, until it returns false. It is given by its words.
func eachPage(words int, word func(i int) uint64, fn func(n uint32) bool) {
	for i := range words {
		for w := word(i); w != 0; w &= w - 1 {
			if !fn(uint32(i*64 + bits.TrailingZeros64(w))) {
				return
			}
		}
	}
}

// some reports whether a set, given by its words, has a page.
func some(words int, word func(i int) uint64) bool {
	for i := range words {
		if word(i) != 0 {
			return true
		}
	}
	return false
}
