package integrity

import (
	"testing"
	"time"
)

// A caller that shows one finding shows the first: it has to be the decisive one.
func TestGravestFindingComesFirst(t *testing.T) {
	t.Parallel()
	tl := &results{}
	tl.add(CodeJournalHot, "information")
	tl.add(CodeNull, "a broken rule")
	tl.add(CodePage, "damage")
	tl.add(CodeOrder, "more damage")
	var got []Code
	for _, f := range tl.report("", LevelQuick, nil, time.Now()).Findings {
		got = append(got, f.Code)
	}
	want := []Code{CodePage, CodeOrder, CodeNull, CodeJournalHot}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}
