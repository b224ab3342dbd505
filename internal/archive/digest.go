package archive

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"
	"strconv"

	"github.com/zeebo/xxh3"
)

// Seed makes page digests unpredictable: a program that can choose the content of a database
// cannot make two pages with one digest. It is a secret of the backup directory, made
// once, and is in the metadata of each archive.
type Seed uint64

// NewSeed returns a random seed.
func NewSeed() Seed {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return Seed(binary.LittleEndian.Uint64(b[:]))
}

// ParseSeed reads what String wrote.
func ParseSeed(s string) (Seed, error) {
	if !isHex(s, seedBytes) {
		return 0, fmt.Errorf("page seed is not %d bytes in lower-case hex", seedBytes)
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return Seed(n), err
}

// String is the seed in 16 hexadecimal digits.
func (s Seed) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// Digest is the digest of one page at its place: XXH3-128 in canonical (big-endian) form.
// Digests of different seeds are not comparable.
type Digest [digestBytes]byte

// PageDigest digests page number pgno (from 1):
//
//	z = seed + pgno × 0x9E3779B97F4A7C15           (all mod 2^64: SplitMix64,
//	z = (z ^ z>>30) × 0xBF58476D1CE4E5B9            started at seed, its
//	z = (z ^ z>>27) × 0x94D049BB133111EB            output number pgno)
//	digest = XXH3-128 of the page's bytes with seed z ^ z>>31
//
// For one seed each page number gives another z, so that equal pages at different
// places have different digests.
func PageDigest(seed Seed, pgno int64, page []byte) Digest {
	z := uint64(seed) + uint64(pgno)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return xxh3.Hash128Seed(page, z^z>>31).Bytes()
}

// appendPageDigests appends the digest of every page of image; the first is
// number pgno.
func appendPageDigests(b []byte, seed Seed, pgno int64, image []byte, pageSize int) []byte {
	for ; len(image) > 0; image, pgno = image[pageSize:], pgno+1 {
		d := PageDigest(seed, pgno, image[:pageSize])
		b = append(b, d[:]...)
	}
	return b
}

// Sum names an image: the number of its pages, and the sum of their digests mod 2^128.
// The sum of an image follows from another's and the digests of the pages that
// changed: Sub the old ones, Add the new ones. Sums of one seed are compared with ==.
type Sum struct {
	Pages  int64
	hi, lo uint64
}

// Add adds a page.
func (s *Sum) Add(d Digest) {
	var carry uint64
	s.Pages++
	s.lo, carry = bits.Add64(s.lo, binary.BigEndian.Uint64(d[8:]), 0)
	s.hi, _ = bits.Add64(s.hi, binary.BigEndian.Uint64(d[:]), carry)
}

// Sub takes a page away.
func (s *Sum) Sub(d Digest) {
	var borrow uint64
	s.Pages--
	s.lo, borrow = bits.Sub64(s.lo, binary.BigEndian.Uint64(d[8:]), 0)
	s.hi, _ = bits.Sub64(s.hi, binary.BigEndian.Uint64(d[:]), borrow)
}

// addAll adds digests in their stored form.
func (s *Sum) addAll(digests []byte) {
	for ; len(digests) > 0; digests = digests[digestBytes:] {
		s.Add(Digest(digests))
	}
}

// Digits is the sum without the number of pages, in 32 hexadecimal digits.
func (s Sum) Digits() string { return fmt.Sprintf("%016x%016x", s.hi, s.lo) }

// String is "PAGES:DIGITS".
func (s Sum) String() string { return fmt.Sprintf("%d:%s", s.Pages, s.Digits()) }

// ParseSum reads what Digits wrote.
func ParseSum(pages int64, digits string) (Sum, error) {
	if !isHex(digits, digestBytes) {
		return Sum{}, fmt.Errorf("sum is not %d bytes in lower-case hex", digestBytes)
	}
	hi, errHi := strconv.ParseUint(digits[:16], 16, 64)
	lo, errLo := strconv.ParseUint(digits[16:], 16, 64)
	if errHi != nil {
		return Sum{}, errHi
	}
	return Sum{Pages: pages, hi: hi, lo: lo}, errLo
}

// sumHash is the hash of an image whose result is that of its Sum.
type sumHash struct {
	seed Seed
	page []byte // the bytes of the next page that were written
	sum  Sum
}

// NewSumHash returns a hash of an image; it gives what Sum.Digits writes. A part of a page at the end counts as a page.
func NewSumHash(seed Seed, pageSize int) hash.Hash {
	return &sumHash{seed: seed, page: make([]byte, 0, pageSize)}
}

func (h *sumHash) Write(p []byte) (n int, err error) {
	for n < len(p) {
		k := min(cap(h.page)-len(h.page), len(p)-n)
		h.page = append(h.page, p[n:n+k]...)
		if n += k; len(h.page) == cap(h.page) {
			h.sum.Add(PageDigest(h.seed, h.sum.Pages+1, h.page))
			h.page = h.page[:0]
		}
	}
	return n, nil
}

func (h *sumHash) Sum(b []byte) []byte {
	sum := h.sum
	if len(h.page) > 0 {
		sum.Add(PageDigest(h.seed, sum.Pages+1, h.page))
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, sum.hi), sum.lo)
}

func (h *sumHash) Reset()         { h.page, h.sum = h.page[:0], Sum{} }
func (h *sumHash) Size() int      { return digestBytes }
func (h *sumHash) BlockSize() int { return cap(h.page) }
