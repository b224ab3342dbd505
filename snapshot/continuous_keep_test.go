package snapshot_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// Lost: points that --points-max-bytes does not ask for, the news that some went, or the log that is appended to and the
// numbers in it.
func TestPointsMaxBytes(t *testing.T) {
	t.Parallel()
	var later atomic.Int64 // minutes
	c := newCounted(t, "wal", func(cfg *snapshot.Config) {
		cfg.PointsMaxBytes = 28 << 10
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Minute) }
	})
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	var all []string
	capture := func(commits int) {
		c.commit(commits)
		all = append(all, c.captures())
	}
	for range 10 {
		capture(5)
	}
	later.Add(6) // the segment is sealed
	capture(1)
	capture(1)
	c.manual()
	first := len(all)
	capture(1)
	capture(1)
	later.Add(2 * 60)
	c.commit(1)
	told := func(e snapshot.Event) bool {
		return e.Type == snapshot.EventChainGap && strings.Contains(e.Message, "before their time")
	}
	c.rec.wait(t, "points that go before their time", told)
	capture(1)
	later.Add(2 * 60)
	capture(1)
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range c.rec.of(snapshot.EventChainGap) {
		if told(e) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("told %d times: %v", n, c.rec.of(snapshot.EventChainGap))
	}
	left := c.points()
	if len(left) == 0 || left[len(left)-1].ID == all[0] {
		t.Errorf("%d points are left, all of them", len(left))
	}
	for _, id := range all[first:] {
		if n, highest := c.ledger(id); n != highest || !strings.HasPrefix(id, "1.") {
			t.Errorf("point %s has %d commits of %d", id, n, highest)
		}
	}
}
