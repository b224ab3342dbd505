package snapshot_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: every commit since the newest backup, where a sealed segment has rotted that all later points need, and nothing reads it before a
// person needs one.
func TestASealedSegmentRots(t *testing.T) {
	t.Parallel()
	var later atomic.Int64 // minutes
	c := newCounted(t, "wal", func(cfg *snapshot.Config) {
		cfg.Interval = 1000 * time.Hour
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Minute) }
	})
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	c.commit(2)
	c.captures()
	later.Add(6) // it is to be sealed
	dir := points.Directory(c.m.Dir(), 1)
	var sealed []changes.Sealed
	for len(sealed) == 0 {
		c.commit(1)
		c.captures()
		var err error
		sealed, err = changes.SealedIn(dir)
		must(t, err)
	}
	segment := filepath.Join(dir, sealed[0].Name)
	testdb.FlipByte(t, segment, int64(len(readFile(t, segment))/2))
	later.Add(25 * 60)
	c.commit(1)
	rotted := c.rec.wait(t, "the segment to be found damaged", func(e snapshot.Event) bool {
		return e.Type == snapshot.EventChainGap && strings.Contains(e.Message, "a segment of the change log is damaged")
	})
	if !strings.Contains(rotted.Reason, sealed[0].Name) {
		t.Errorf("%+v", rotted)
	}
	c.rec.wait(t, "a point that does not need it", func(e snapshot.Event) bool {
		return e.Type == snapshot.EventCaptured && strings.HasPrefix(e.Point, "2.")
	})
	all, _, err := c.m.Points(t.Context(), snapshot.PointsQuery{})
	must(t, err)
	if n, highest := c.ledger(all[0].ID); n != c.n || highest != c.n || !strings.HasPrefix(all[0].ID, "2.") {
		t.Errorf("point %s has %d commits of %d", all[0].ID, n, c.n)
	}
	last, states := catalog.PointID(1, sealed[0].Last), map[string]snapshot.PointState{}
	for _, p := range all {
		states[p.ID] = p.State
	}
	if states[last] != snapshot.PointDamaged || states[all[0].ID] == snapshot.PointDamaged {
		t.Errorf("%s: %v", last, states)
	}
	if s := c.status().Continuous; s.Damaged != 1 || s.ReadAgain == nil {
		t.Errorf("status: %+v", s)
	}
	must(t, r.wait(t))
}
