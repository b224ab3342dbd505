package swap_test

import (
	"strings"
	"testing"

	"example.com/snapd/internal/swap"
)

func TestEndingOfAnInterruptedSwapSaysWhatIsKept(t *testing.T) {
	for _, c := range []struct {
		end       swap.Ending
		says, not string
	}{
		{swap.Ending{Outcome: swap.Completed}, "has been finished", "given up"},
		{swap.Ending{Outcome: swap.Undone}, "has been undone", "given up"},
		{swap.Ending{Outcome: swap.Abandoned, Note: swap.Note{Safety: "s1"}}, "is in backup s1", "preserved"},
		{swap.Ending{Outcome: swap.Abandoned, Kept: "/q.db"}, "/q.db", "backup"},
		{swap.Ending{Outcome: swap.Abandoned}, "given up", "before is in"}, // nothing was there to be saved
		{swap.Ending{}, "", "restore"},
	} {
		if got := c.end.String(); !strings.Contains(got, c.says) || strings.Contains(got, c.not) || (got == "") != (c.says == "") {
			t.Errorf("%+v: %q", c.end, got)
		}
	}
}
