package testdb

import (
	"slices"
	"strconv"
	"testing"
)

// Lost: points of a sweep that no part has, or parts of such different sizes that one takes hours.
func TestPartsOfASweep(t *testing.T) {
	const points, parts = 20000, 20
	size := make([]int, parts)
	for i := range points {
		in := 0
		for n := range parts {
			if (Part{uint64(n + 1), parts}).Has(i) {
				in++
				size[n]++
			}
		}
		if in != 1 {
			t.Fatalf("point %d is in %d parts", i, in)
		}
	}
	for n, got := range size {
		if got < points/parts*8/10 || got > points/parts*12/10 {
			t.Errorf("part %d has %d of %d points", n+1, got, points)
		}
	}
	for text, want := range map[string]Part{"1": {1, 1}, "20": {1, 20}, "3/20": {3, 20}} {
		if got, err := parsePart(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "x", "0/3", "4/3", "3/", "-1", "1/0"} {
		if got, err := parsePart(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Lost: a kind of point that no test meets, or the points that make sweep is there for.
func TestSampleOfASweep(t *testing.T) {
	t.Setenv("SNAPD_SWEEP", "")
	s := NewSample(4)
	kinds := []string{"a", "b", "a", "c", "c"}
	if got := s.Choose("one", kinds); !slices.Contains(got, 0) || !slices.Contains(got, 1) || !slices.Contains(got, 3) {
		t.Errorf("points %v are chosen, want the first of each kind among them", got)
	}
	others := 0
	for n := range 100 {
		others += len(s.Choose(strconv.Itoa(n), kinds))
	}
	if others < 100 || others > 200 {
		t.Errorf("%d of %d points of known kinds are chosen, want a quarter", others, 100*len(kinds))
	}
	t.Setenv("SNAPD_SWEEP", "2/20")
	s = NewSample(4)
	for _, sweep := range []string{"one", "two"} {
		if got := s.Choose(sweep, kinds); len(got) != len(kinds) {
			t.Errorf("make sweep: points %v are chosen, want all of %d", got, len(kinds))
		}
	}
}
