package catalog_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
)

// Lost otherwise: what was committed after a restore. The newest backup then is the safety
// backup of the state that was given up.
func TestLatestAndCandidates(t *testing.T) {
	t.Parallel()
	entry := func(id string, seq uint64, state catalog.VerifyState) catalog.Entry {
		e := catalog.Entry{ID: id, Seq: seq, DatabaseBytes: 4096, Verification: catalog.Verification{State: state}}
		if strings.HasPrefix(id, "safety") {
			e.Trigger = catalog.TriggerPreRestore
		}
		return e
	}
	verified := func(id string, seq uint64) catalog.Entry { return entry(id, seq, catalog.Verified) }
	safety, old := verified("safety", 3), verified("old", 1)
	for name, c := range map[string]struct {
		entries  []catalog.Entry
		restored string // "" for no restore
		newest   uint64 // seq of the newest backup then
		latest   string
		tried    []string
	}{
		"no restore":           {[]catalog.Entry{verified("new", 2), old}, "", 0, "new", []string{"new", "old"}},
		"restored":             {[]catalog.Entry{safety, entry("mid", 2, catalog.Failed), old}, "old", 3, "old", []string{"old", "safety"}},
		"restored older":       {[]catalog.Entry{safety, verified("mid", 2), old}, "old", 3, "old", []string{"old", "safety", "mid"}},
		"backed up since":      {[]catalog.Entry{verified("new", 4), safety, old}, "old", 3, "new", []string{"new", "old", "safety"}},
		"unverified since":     {[]catalog.Entry{entry("new", 4, catalog.Unverified), safety, verified("mid", 2), old}, "old", 3, "old", []string{"new", "old", "safety", "mid"}},
		"failed since":         {[]catalog.Entry{entry("new", 4, catalog.Failed), safety, old}, "old", 3, "old", []string{"old", "safety"}},
		"restore gave up":      {[]catalog.Entry{verified("safety2", 4), safety, verified("mid", 2), old}, "old", 3, "old", []string{"safety2", "old", "safety", "mid"}},
		"none took place":      {[]catalog.Entry{safety, verified("mid", 2), old}, "", 0, "mid", []string{"safety", "mid", "old"}},
		"undone":               {[]catalog.Entry{verified("safety2", 4), safety, verified("mid", 2), old}, "safety", 4, "safety", []string{"safety", "safety2", "mid", "old"}},
		"safety was deleted":   {[]catalog.Entry{verified("mid", 2), old}, "old", 3, "old", []string{"old", "mid"}},
		"restored has failed":  {[]catalog.Entry{safety, entry("old", 1, catalog.Failed)}, "old", 3, "safety", []string{"safety"}},
		"failed, others":       {[]catalog.Entry{safety, verified("mid", 2), entry("old", 1, catalog.Failed)}, "old", 3, "mid", []string{"safety", "mid"}},
		"restored was removed": {[]catalog.Entry{safety}, "old", 3, "safety", []string{"safety"}},
		"restored the newest":  {[]catalog.Entry{old}, "old", 1, "old", []string{"old"}},
		"none":                 {nil, "old", 3, "", nil},
	} {
		s := catalog.State{}
		if c.restored != "" {
			for i := range c.entries {
				if c.entries[i].Timeline.Number = 1; c.entries[i].Seq > c.newest {
					c.entries[i].Timeline.Number = 2
				}
			}
			s.Begin(catalog.Present{Timeline: catalog.Timeline{Number: 1}}, catalog.Restored, catalog.Entry{ID: c.restored}, "", time.Time{})
		}
		if latest, ok := catalog.Latest(slices.Values(c.entries), s); latest.ID != c.latest || ok != (c.latest != "") {
			t.Errorf("%s: latest %q, %v", name, latest.ID, ok)
		}
		var tried []string
		for _, e := range catalog.Candidates(c.entries, s) {
			tried = append(tried, e.ID)
		}
		if !slices.Equal(tried, c.tried) {
			t.Errorf("%s: candidates %v, want %v", name, tried, c.tried)
		}
	}
}

// Wrong: a database that was restored this minute, said to lose three weeks.
func TestSince(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)
	e := catalog.Entry{ID: "old", CreatedAt: at}
	for name, c := range map[string]struct {
		restored string
		when     time.Time
		want     time.Time
	}{
		"taken":           {"other", at.Add(time.Hour), at},
		"restored":        {"old", at.Add(time.Hour), at.Add(time.Hour)},
		"clock fell back": {"old", at.Add(-time.Hour), at},
	} {
		var s catalog.State
		s.Begin(catalog.Present{}, catalog.Restored, catalog.Entry{ID: c.restored}, "", c.when)
		if got := catalog.Since(e, s); !got.Equal(c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := catalog.Since(e, catalog.State{}); !got.Equal(at) {
		t.Errorf("without a restore: %s", got)
	}
}

// Lost: the past, when the database before a break is taken for the one that is there now; or the
// alarm, when the next backup is compared with the wrong one.
func TestLatestAfterABreak(t *testing.T) {
	t.Parallel()
	entry := func(id string, seq, timeline uint64, state catalog.VerifyState) catalog.Entry {
		return catalog.Entry{ID: id, Seq: seq, DatabaseBytes: 4096, Timeline: catalog.Timeline{Number: timeline}, Verification: catalog.Verification{State: state}}
	}
	was := entry("was", 1, 1, catalog.Verified)
	for name, c := range map[string]struct {
		entries     []catalog.Entry // newest first
		latest      string
		predecessor string
		candidates  []string
	}{
		"not backed up yet":         {[]catalog.Entry{was}, "was", "", []string{"was"}},
		"backed up":                 {[]catalog.Entry{entry("is", 2, 2, catalog.Verified), was}, "is", "is", []string{"is", "was"}},
		"not verified yet":          {[]catalog.Entry{entry("is", 2, 2, catalog.Unverified), was}, "was", "is", []string{"is", "was"}},
		"failed":                    {[]catalog.Entry{entry("is", 2, 2, catalog.Failed), was}, "was", "", []string{"was"}},
		"found again, of long ago":  {[]catalog.Entry{entry("is", 3, 2, catalog.Verified), entry("found", 2, 1, catalog.Verified), was}, "is", "is", []string{"is", "found", "was"}},
		"an archive that shows one": {[]catalog.Entry{entry("crash", 2, 3, catalog.Verified), was}, "crash", "crash", []string{"crash", "was"}},
	} {
		var s catalog.State
		s.Begin(catalog.Present{Timeline: catalog.Timeline{Number: 1}}, catalog.Emptied, was, "", time.Time{})
		latest, _ := catalog.Latest(slices.Values(c.entries), s)
		before, ok := catalog.Predecessor(slices.Values(c.entries), s)
		if !ok {
			before.ID = ""
		}
		var tried []string
		for _, e := range catalog.Candidates(c.entries, s) {
			tried = append(tried, e.ID)
		}
		if latest.ID != c.latest || before.ID != c.predecessor || !slices.Equal(tried, c.candidates) {
			t.Errorf("%s: latest %q, predecessor %q, candidates %v", name, latest.ID, before.ID, tried)
		}
	}
	s := catalog.State{}
	s.Begin(catalog.Present{Timeline: catalog.Timeline{Number: 1}}, catalog.Emptied, was, "", time.Time{})
	s.TakeBack(was.Timeline)
	if p := catalog.PresentOf(slices.Values([]catalog.Entry{was}), s); p.Number != 1 || len(s.Began) > 0 {
		t.Errorf("taken back: %+v, %+v", p, s.Began)
	}
}
