package recorder

import (
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
)

// Wrong: two histories in one change log, where a catalog.json was put back that knows less than the log.
func TestALogOfAnotherHistoryIsNotContinued(t *testing.T) {
	all := []catalog.Entry{
		{ID: "own", Timeline: catalog.Timeline{Number: 2}}, {ID: "origin", Timeline: catalog.Timeline{Number: 1}}, {ID: "other", Timeline: catalog.Timeline{Number: 1}},
	}
	for _, c := range []struct {
		base, from string
		want       bool
	}{
		{"own", "origin", true}, {"origin", "origin", true}, {"other", "origin", false},
		{"removed", "origin", true}, {"other", "", true},
	} {
		present := catalog.Present{Timeline: catalog.Timeline{Number: 2, Cause: catalog.Restored}, From: c.from}
		if got := leadsHere(changes.Head{Base: c.base}, all, present); got != c.want {
			t.Errorf("a log over %s, of a timeline from %q: %v", c.base, c.from, got)
		}
	}
}
