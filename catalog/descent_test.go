package catalog_test

import (
	"slices"
	"testing"

	"example.com/snapd/catalog"
)

// Lost otherwise: what was committed after a restore. The newest backup then is the safety
// backup of the state that was given up.
func TestHeadAndCandidatesAfterARestore(t *testing.T) {
	entry := func(id string, seq uint64, state catalog.VerifyState) catalog.Entry {
		return catalog.Entry{ID: id, Seq: seq, DatabaseBytes: 4096, Verification: catalog.Verification{State: state}}
	}
	safety, old := entry("safety", 3, catalog.Verified), entry("old", 1, catalog.Verified)
	for name, c := range map[string]struct {
		entries []catalog.Entry
		newest  string // when "old" was restored; "" for no restore
		head    string
		tried   []string
	}{
		"no restore":           {[]catalog.Entry{safety, old}, "", "safety", []string{"safety", "old"}},
		"restored":             {[]catalog.Entry{safety, entry("mid", 2, catalog.Failed), old}, "safety", "old", []string{"old", "safety"}},
		"backed up since":      {[]catalog.Entry{entry("new", 4, catalog.Verified), safety, old}, "safety", "new", []string{"new", "safety", "old"}},
		"unverified since":     {[]catalog.Entry{entry("new", 4, catalog.Unverified), safety, old}, "safety", "safety", []string{"new", "safety", "old"}},
		"restored has failed":  {[]catalog.Entry{safety, entry("old", 1, catalog.Failed)}, "safety", "safety", []string{"safety"}},
		"restored was removed": {[]catalog.Entry{safety}, "safety", "safety", []string{"safety"}},
		"none":                 {nil, "safety", "", nil},
	} {
		s := catalog.State{}
		if c.newest != "" {
			s.LastRestore = &catalog.RestoreOutcome{ID: "old", Newest: c.newest}
		}
		if head, ok := catalog.Head(slices.Values(c.entries), s); head.ID != c.head || ok != (c.head != "") {
			t.Errorf("%s: head %q, %v", name, head.ID, ok)
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
