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
	s.AddAnchor(1, 10, at)
	before := s
	s.AddAnchor(1, 20, at)
	s.Doubt(1, 23, at)
	s.Doubt(1, 25, at)
	s.AddAnchor(2, 3, at)
	s.AddAnchor(1, 30, at)
	s.AddAnchor(1, 28, at)
	for seq, want := range map[uint64]bool{1: true, 20: true, 21: false, 25: false, 26: true, 30: true, 31: false} {
		if got := s.Anchored(1, seq); got != want {
			t.Errorf("1.%d: %v", seq, got)
		}
	}
	if len(s.Anchors) != 3 || before.Anchored(1, 11) {
		t.Errorf("%+v; before: %+v", s.Anchors, before.Anchors)
	}
	for n := range uint64(1000) {
		s.AddAnchor(3+n, 1, at)
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

// Lost: points that the user wanted to keep, for a rule that was read as another one.
func TestParsePointTiers(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"48h,5m:7d,1h:30d": "48h,5m:7d,1h:30d", "2d": "48h", "90s, 1m:1h": "1m30s,1m:1h", "10m:30d": "10m:30d",
		"": "", "48h,": "", "48h,24h": "", "1h:7d,5m:30d": "", "-1h": "", "0h": "", "8d:7d": "", "1y": "", "5m:": "",
		"1h,2h,3h,4h,5h,6h,7h,8h,9h,10h,11h": "", "9999d": "",
	} {
		tiers, err := catalog.ParsePointTiers(s)
		if err == nil && tiers.String() != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", s, tiers, err)
		}
	}
	if got := catalog.DefaultPointTiers.String(); got != "48h,5m:7d,1h:30d" {
		t.Errorf("default %q", got)
	}
}
