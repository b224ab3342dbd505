package lineage_test

import (
	"fmt"
	"testing"

	"example.com/snapd/internal/lineage"
)

// Lost: the past, when a database that was emptied or exchanged is taken for the one that was backed up;
// or trust in the alarm, when an ordinary migration raises it.
func TestJudge(t *testing.T) {
	t.Parallel()
	then := lineage.Facts{File: 7, Size: 81920, Counter: 100, ApplicationID: 5, UsedBytes: 80000,
		Filled: []string{"accounts", "deals", "notes", "users"}, Bare: []string{"drafts"}}
	other := func(f *lineage.Facts) { f.File, f.Size, f.Counter = 8, 77824, 101 }
	for name, c := range map[string]struct {
		edit func(now *lineage.Facts)
		want lineage.Cause
	}{
		"the same":                    {func(f *lineage.Facts) {}, ""},
		"written to":                  {func(f *lineage.Facts) { f.Counter, f.Size, f.UsedBytes = 900, 819200, 800000 }, ""},
		"rows in more tables":         {func(f *lineage.Facts) { f.Filled, f.Bare = append(f.Filled, "drafts"), nil }, ""},
		"a table more":                {func(f *lineage.Facts) { f.Bare = []string{"drafts", "tags"} }, ""},
		"a table dropped":             {func(f *lineage.Facts) { f.Filled = []string{"accounts", "deals", "users"} }, ""},
		"all tables have new names":   {func(f *lineage.Facts) { f.Filled, f.Bare = []string{"a", "d", "n", "u"}, []string{"x"} }, ""},
		"most tables have no rows":    {func(f *lineage.Facts) { f.Filled, f.Bare = f.Filled[:1], append(f.Filled[1:], "drafts") }, ""},
		"no table has rows":           {func(f *lineage.Facts) { f.Filled, f.Bare = nil, append(f.Filled, "drafts") }, lineage.Emptied},
		"half of the pages":           {func(f *lineage.Facts) { f.UsedBytes = 40000 }, ""},
		"less than half of the pages": {func(f *lineage.Facts) { f.UsedBytes = 39999 }, lineage.Shrunk},
		"most tables dropped":         {func(f *lineage.Facts) { f.Filled, f.Bare = []string{"accounts", "users"}, nil }, lineage.OtherSchema},
		"another application":         {func(f *lineage.Facts) { f.ApplicationID = 6 }, lineage.OtherApplication},
		"no application any more":     {func(f *lineage.Facts) { f.ApplicationID = 0 }, lineage.OtherApplication},
		"another file":                {other, lineage.Replaced},
		// In WAL mode the counter stands still, and the main file has 4096 bytes until a checkpoint.
		"another file of that counter and size, without most rows": {func(f *lineage.Facts) { f.File, f.Filled, f.Bare = 8, f.Filled[:1], append(f.Filled[1:], "drafts") }, lineage.Emptied},
		"a copy of the file":             {func(f *lineage.Facts) { f.File = 8 }, ""},
		"an older state written over it": {func(f *lineage.Facts) { f.Counter = 99 }, lineage.Replaced},
		"the counter wrapped":            {func(f *lineage.Facts) { f.Counter = 1<<31 + 50 }, ""},
		"an unknown file":                {func(f *lineage.Facts) { f.File, f.Counter = 0, 1 }, ""},
		"no contents could be read":      {func(f *lineage.Facts) { *f = lineage.Facts{File: 9, Size: 1} }, ""},
		"another file without most rows": {func(f *lineage.Facts) { other(f); f.Filled, f.Bare = f.Filled[:1], append(f.Filled[1:], "drafts") }, lineage.Emptied},
		"another file, other tables":     {func(f *lineage.Facts) { other(f); f.Filled, f.Bare = []string{"a", "d", "n", "u"}, []string{"x"} }, lineage.OtherSchema},
		"another file, half the pages":   {func(f *lineage.Facts) { other(f); f.UsedBytes = 39999 }, lineage.Shrunk},
		"nothing is known of it":         {func(f *lineage.Facts) { *f = lineage.Facts{} }, ""},
	} {
		now := then
		now.Filled, now.Bare = append([]string(nil), then.Filled...), append([]string(nil), then.Bare...)
		c.edit(&now)
		if got, what := lineage.Judge(then, now); got != c.want || (what == "") != (got == "") {
			t.Errorf("%s: %q (%s), want %q", name, got, what, c.want)
		}
		if got, what := lineage.Judge(lineage.Facts{}, now); got != "" {
			t.Errorf("%s, and nothing is known of then: %q (%s)", name, got, what)
		}
	}
}

// Lost: the name of a break, in a message.
func TestVerbs(t *testing.T) {
	t.Parallel()
	for _, c := range []lineage.Cause{lineage.Emptied, lineage.Shrunk, lineage.OtherSchema, lineage.OtherApplication, lineage.Replaced} {
		if text := fmt.Sprintf("the database was %s", c.Verb()); !c.Break() || c.Verb() == "" || len(text) < 20 {
			t.Errorf("%s: %q", c, text)
		}
	}
	for _, c := range []lineage.Cause{"", lineage.Missing, lineage.Link, lineage.Restored, lineage.Returned} {
		if c.Break() || c.Loss() {
			t.Errorf("%q counts as a break", c)
		}
	}
}
