package recorder

import (
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
)

// Lost: points that a backup and the tiers keep, or a log that nothing bounds.
func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Now()
	days := func(n int) time.Time { return now.Add(-time.Duration(n) * 24 * time.Hour) }
	at := func(seq uint64, age int) base {
		return base{catalog.Entry{CreatedAt: days(age), Verification: catalog.Verification{State: catalog.Verified}}, seq}
	}
	failed := func(seq uint64, age int) base {
		return base{catalog.Entry{CreatedAt: days(age), Verification: catalog.Verification{State: catalog.Failed}}, seq}
	}
	for name, c := range map[string]struct {
		list    []base // newest first
		newest  time.Time
		present bool
		want    kept
	}{
		"no base of the present log":        {nil, now, true, kept{}},
		"no base of an older log":           {nil, now, false, kept{all: true}},
		"its first base is there":           {[]base{at(50, 1), at(0, 3)}, now, true, kept{}},
		"its first base was pruned":         {[]base{at(50, 1), at(20, 3)}, now, true, kept{from: 20}},
		"bases beyond the last tier":        {[]base{at(50, 1), at(40, 35), at(20, 90)}, now, true, kept{from: 40}},
		"one of those is damaged":           {[]base{at(50, 1), failed(40, 35), at(20, 90)}, now, true, kept{from: 20}},
		"the newest one is beyond it, too":  {[]base{at(50, 31)}, now, true, kept{from: 50}},
		"an older log beyond the last tier": {[]base{at(50, 40)}, days(31), false, kept{all: true}},
		"an older log within it":            {[]base{at(50, 40)}, days(29), false, kept{from: 50}},
	} {
		if got := decide(c.list, changes.DefaultTiers, c.newest, now, c.present); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// placed is a host whose directory is there; all else of it is nil.
type placed struct{ Host }

func (placed) CheckPlace() error { return nil }

// Lost: the log of the present timeline, taken for one that is over before it is opened.
func TestNothingIsRemovedBeforeALogIsOpen(t *testing.T) {
	t.Parallel()
	r := New(Options{Now: time.Now, Host: placed{}})
	r.chores(nil)
	if !r.keep.at.IsZero() {
		t.Error("the retention was carried out")
	}
}

// Lost: points that only a damaged backup, or one that another directory made, seems to have a base for.
func TestBasesThatCount(t *testing.T) {
	t.Parallel()
	entry := func(id, point string, state catalog.VerifyState, adopted bool) catalog.Entry {
		return catalog.Entry{ID: id, Point: point, PageSize: 4096, Adopted: adopted, Pinned: adopted, Verification: catalog.Verification{State: state}}
	}
	all := []catalog.Entry{
		entry("other", "1.40", catalog.Verified, true), entry("damaged", "1.30", catalog.Failed, false),
		entry("good", "1.20", catalog.Verified, false), entry("head", "", catalog.Verified, false),
	}
	ids := func(list []base) (ids string) {
		for _, b := range list {
			ids += b.ID + " "
		}
		return ids
	}
	if got, want := ids(bases(all, 1, "head", 50)), "good head "; got != want {
		t.Errorf("read from %s, not %s", got, want)
	}
	if got, want := ids(stored(all, 1, "head", 50)), "damaged good head "; got != want {
		t.Errorf("stored: %s, not %s", got, want)
	}
}
