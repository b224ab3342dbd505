package snapshot_test

import (
	"os"
	"path/filepath"
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
	reported := func(e snapshot.Event) bool {
		return e.Type == snapshot.EventChainGap && strings.Contains(e.Message, "before their time")
	}
	c.rec.wait(t, "points that go before their time", reported)
	capture(1)
	later.Add(2 * 60)
	capture(1)
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range c.rec.of(snapshot.EventChainGap) {
		if reported(e) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("reported %d times: %v", n, c.rec.of(snapshot.EventChainGap))
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

// Lost: a point whose segment is merged with others while commits are captured; or the merging, so that a service with a
// remote has thousands of files.
func TestSegmentsAreMerged(t *testing.T) {
	t.Parallel()
	var later atomic.Int64 // minutes
	c := newCounted(t, "wal", func(cfg *snapshot.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Minute) }
	})
	segments := func() int {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(c.m.Dir(), "changes", "1", "*.chg.zst"))
		must(t, err)
		return len(list)
	}
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	var all []string
	capture := func(minutes int64) {
		t.Helper()
		later.Add(minutes)
		c.commit(2)
		all = append(all, c.captures())
	}
	for range 6 {
		capture(6) // what is older than five minutes is sealed
	}
	for len(all) < 100 && segments() < 4 {
		capture(6)
	}
	for end := time.Now().Add(patience); segments() > 2; {
		if time.Now().After(end) {
			t.Fatalf("%d segments are not merged", segments())
		}
		capture(61)
	}
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	c.points()
	for i, id := range all {
		if n, highest := c.ledger(id); n != 2*(i+1) || n != highest {
			t.Errorf("point %s has %d commits, not %d", id, n, 2*(i+1))
		}
	}
}

// Lost: the points of the timeline before a restore while a backup leads to them, or the disk's room for those that no backup
// leads to; or the present log with them.
func TestAnOldTimelinesLog(t *testing.T) {
	t.Parallel()
	var later atomic.Int64 // hours
	c := newCounted(t, "wal", func(cfg *snapshot.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Hour) }
	})
	r := c.run()
	first := c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp }).Backup
	c.commit(3)
	back := c.captures()
	c.commit(2)
	c.captures()
	done, err := c.m.Restore(t.Context(), back, snapshot.RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.n = 3
	c.commit(1)
	c.captures()
	c.manual()
	c.commit(1)
	after := c.captures()
	later.Add(2)
	c.commit(1)
	c.captures()
	if n, _ := c.ledger(back); n != 3 {
		t.Errorf("point %s has %d commits, not 3", back, n)
	}
	if err := c.m.Delete(t.Context(), []string{*done.SafetyBackup, first}, true); err != nil {
		t.Fatal(err)
	}
	later.Add(2)
	old := filepath.Join(c.m.Dir(), "changes", "1")
	for end := time.Now().Add(patience); ; {
		c.commit(1)
		c.captures()
		if _, err := os.Stat(old); os.IsNotExist(err) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the log of timeline 1 is still there")
		}
	}
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if n, _ := c.ledger(after); n != 5 || !strings.HasPrefix(after, "2.") {
		t.Errorf("point %s has %d commits, not 5", after, n)
	}
	c.points()
}
