package catalog_test

import (
	"testing"
	"time"

	"example.com/snapd/catalog"
)

// Lost: a point that is taken for another one, or an id that two spellings have.
func TestParsePoint(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"1.4711": true, "12.0": true, "0.1": false, "": false, "1": false, "1.": false, ".1": false, "1.2.3": false,
		"+1.2": false, "01.2": false, "1.02": false, "1.-2": false, "1. 2": false, "1.99999999999999999999": false,
	} {
		timeline, seq, ok := catalog.ParsePoint(id)
		if ok != want || ok && catalog.PointID(timeline, seq) != id {
			t.Errorf("%q: %d, %d, %v", id, timeline, seq, ok)
		}
	}
}

// Lost: proof of captures that nothing proved.
func TestAnchors(t *testing.T) {
	t.Parallel()
	var s catalog.State
	at := time.Now()
	s.AddAnchor(catalog.Anchor{Timeline: 1, Seq: 10, At: at})
	before := s
	s.AddAnchor(catalog.Anchor{Timeline: 1, Seq: 20, At: at})
	s.AddAnchor(catalog.Anchor{Timeline: 1, After: 25, Seq: 30, At: at}) // 21 to 25 were doubtful
	s.AddAnchor(catalog.Anchor{Timeline: 2, Seq: 3, At: at})
	for seq, want := range map[uint64]bool{1: true, 20: true, 21: false, 25: false, 26: true, 30: true, 31: false} {
		if got := s.Anchored(1, seq); got != want {
			t.Errorf("1.%d: %v", seq, got)
		}
	}
	if len(s.Anchors) != 3 || before.Anchored(1, 11) {
		t.Errorf("%+v; before: %+v", s.Anchors, before.Anchors)
	}
	for n := range uint64(1000) {
		s.AddAnchor(catalog.Anchor{Timeline: 3 + n, Seq: 1, At: at})
	}
	if len(s.Anchors) > 100 || !s.Anchored(1002, 1) {
		t.Errorf("%d anchors", len(s.Anchors))
	}
}

// Lost: the backup without which the newest recovery points cannot be read.
func TestPlanKeepsTheBaseOfTheNewestPoints(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var all []catalog.Entry
	for seq := range uint64(5) {
		all = append(all, catalog.Entry{ID: string(rune('a' + seq)), Seq: seq + 1, Kind: catalog.Auto, CreatedAt: now,
			Timeline: catalog.Timeline{Number: 1}, Verification: catalog.Verification{State: catalog.Verified}})
	}
	policy := catalog.Policy{Last: 1, Daily: catalog.None}
	kept := func(s catalog.State) (ids string) {
		for _, d := range catalog.Plan(all, s, policy, now) {
			if d.Keep {
				ids += d.ID
			}
		}
		return ids
	}
	if got := kept(catalog.State{}); got != "e" {
		t.Errorf("without a change log: %q", got)
	}
	if got := kept(catalog.State{PointsBase: "b"}); got != "eb" {
		t.Errorf("with one that builds on b: %q", got)
	}
}
