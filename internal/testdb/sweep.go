package testdb

import (
	"cmp"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"sync"
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

// Sample chooses the points that a sweep meets: in make sweep all, otherwise the first one of each
// kind and a part of the others, but one at least. Which of several equal points is the first is not determined where
// sweeps run in parallel.
type Sample struct {
	rest Part
	mu   sync.Mutex
	met  map[string]bool // kinds; guarded by mu
}

// NewSample has one in so many of the points that are not the first of their kind.
func NewSample(n int) *Sample {
	return &Sample{rest: Part{1, uint64(Sampled(n))}, met: map[string]bool{}}
}

// Choose returns those points of one sweep, given by their kinds, that are in the sample. The name of
// the sweep decides which part of the others it is.
func (s *Sample) Choose(sweep string, kinds []string) (chosen []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := fnv.New32()
	_, _ = hash.Write([]byte(sweep)) // never fails
	first := int(hash.Sum32() >> 1)
	for n, kind := range kinds {
		if !s.met[kind] || s.rest.Has(first+n) {
			chosen = append(chosen, n)
		}
		s.met[kind] = true
	}
	if len(chosen) == 0 && len(kinds) > 0 {
		chosen = []int{first % len(kinds)}
	}
	return chosen
}
