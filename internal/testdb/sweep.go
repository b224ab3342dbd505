package testdb

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Part is one of several parts of the points of a sweep. Together the parts have every point once.
type Part struct{ n, of uint64 }

// SweepPart returns the part that SNAPD_SWEEP names: "3/20" is the third of twenty, "20" the first
// of twenty, "1" all. make sweep sets it; ok is false without it.
func SweepPart(t testing.TB) (part Part, ok bool) {
	t.Helper()
	text := os.Getenv("SNAPD_SWEEP")
	if text == "" {
		return Part{}, false
	}
	part, err := parsePart(text)
	if err != nil {
		t.Fatalf("SNAPD_SWEEP=%q: want a number such as 20, or a part such as 3/20: %v", text, err)
	}
	return part, true
}

func parsePart(text string) (p Part, err error) {
	n, of, both := strings.Cut(text, "/")
	if !both {
		n, of = "1", text
	}
	var wrong error
	p.n, err = strconv.ParseUint(n, 10, 32)
	p.of, wrong = strconv.ParseUint(of, 10, 32)
	if err = cmp.Or(err, wrong); err == nil && (p.n < 1 || p.n > p.of) {
		err = strconv.ErrRange
	}
	return p, err
}

// Has reports whether point i of a sweep is in p. A part is no regular pattern, in which the same
// fault, say, would come at every call.
func (p Part) Has(i int) bool {
	x := uint64(i) + 0x9e3779b97f4a7c15 // splitmix64's mixing
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x^x>>31)%p.of == p.n-1
}

// Sampled is n: a sweep meets one in so many of its points. In make sweep it is 1, and all are met.
func Sampled(n int) int {
	if os.Getenv("SNAPD_SWEEP") != "" {
		return 1
	}
	return n
}
