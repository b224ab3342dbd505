package changes

import (
	"testing"
	"time"
)

// thinned are the captures that a merge of all leaves.
func thinned(all []Capture, keep func(Capture) bool) (stay []Capture) {
	waiting := false
	for i, c := range all {
		stays := keep(c) || i == len(all)-1
		if n := len(stay) - 1; waiting {
			stay[n] = merged(stay[n], c)
		} else {
			stay = append(stay, c)
		}
		waiting = !stays
	}
	return stay
}

func TestTiersKeepOneEachPeriod(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var all []Capture
	for at := now.Add(-40 * 24 * time.Hour); at.Before(now); at = at.Add(70 * time.Second) {
		all = append(all, Capture{Seq: uint64(len(all) + 1), From: at.Add(-70 * time.Second), At: at, Commits: 2})
	}
	keep := DefaultTiers.Keep(now)
	stay := thinned(all, keep)
	if again := thinned(stay, keep); len(again) != len(stay) {
		t.Errorf("%d captures stay, and %d when thinned again", len(stay), len(again))
	}
	var commits int64
	per := map[time.Duration]int{}
	for i, c := range stay {
		commits += c.Commits
		if i > 0 && !c.From.Equal(stay[i-1].At) {
			t.Fatalf("capture %d is from %s, the one before it at %s", c.Seq, c.From, stay[i-1].At)
		}
		switch age := now.Sub(c.At); {
		case age <= 48*time.Hour:
			per[0]++
		case age <= 7*24*time.Hour:
			per[5*time.Minute]++
		case age <= 30*24*time.Hour:
			per[time.Hour]++
		default:
			per[-1]++
		}
	}
	if commits != int64(2*len(all)) {
		t.Errorf("%d commits of %d", commits, 2*len(all))
	}
	if all48 := int(48 * time.Hour / (70 * time.Second)); per[0] < all48 {
		t.Errorf("%d of %d captures of the last 48 hours", per[0], all48)
	}
	if n := per[5*time.Minute]; n < 5*24*12-1 || n > 5*24*12+1 {
		t.Errorf("%d captures in five days", n)
	}
	if n := per[time.Hour]; n < 23*24-1 || n > 23*24+1 {
		t.Errorf("%d captures in 23 days", n)
	}
	if per[-1] != 0 {
		t.Errorf("%d older ones", per[-1])
	}
}

// What no base needs goes, and what is left is whole.
func TestDropBefore(t *testing.T) {
	const pageSize = 512
	dir := t.TempDir()
	h, l := newHistory(t, pageSize), open(t, dir, pageSize)
	for range 3 {
		for range 3 {
			h.append(l, 2)
		}
		if err := l.Seal(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.DropBefore(h.captures[3].Seq); err != nil {
		t.Fatal(err)
	}
	all, err := l.Captures(t.Context())
	if err != nil || len(all) != 6 || all[0].Seq != h.captures[3].Seq {
		t.Errorf("%+v, %v", all, err)
	}
	if len(files(t, dir)) != 2 {
		t.Errorf("%d files", len(files(t, dir)))
	}
	if err := l.DropBefore(h.captures[8].Seq); err != nil { // lost otherwise: the number of the next capture
		t.Fatal(err)
	}
	if last, ok, err := open(t, dir, pageSize).Last(); err != nil || !ok || last.Seq != h.captures[8].Seq {
		t.Errorf("the last capture is %+v, %v, %v", last, ok, err)
	}
}
