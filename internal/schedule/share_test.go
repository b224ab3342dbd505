package schedule

import (
	"fmt"
	"testing"
	"time"
)

// Lost: what is read again too late or never, or a disk that is read all day.
func TestShare(t *testing.T) {
	t.Parallel()
	bytes := func(n int64) int64 { return n }
	for name, c := range map[string]struct {
		order   []int64 // bytes
		overdue int64   // those of so many bytes are
		want    int
	}{
		"none":                   {nil, 0, 0},
		"one":                    {[]int64{0}, 0, 1},
		"a thirtieth, and a bit": {make60(100), 0, 3},
		"one large one":          {[]int64{1000, 1, 1}, 0, 1},
		"all that are overdue":   {[]int64{7, 7, 7, 1, 7}, 7, 3},
	} {
		var total int64
		for _, n := range c.order {
			total += n
		}
		if got := Share(c.order, total, bytes, func(n int64) bool { return c.overdue > 0 && n == c.overdue }); len(got) != c.want {
			t.Errorf("%s: %d items", name, len(got))
		}
	}
	if ProveAll != 30*24*time.Hour || ProveEvery != 24*time.Hour {
		t.Error(fmt.Sprint("the documentation says 30 days: ", ProveAll, ProveEvery))
	}
}

func make60(bytes int64) (all []int64) {
	for range 60 {
		all = append(all, bytes)
	}
	return all
}
