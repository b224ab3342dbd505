package snapshot_test

import (
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// Lost otherwise: weeks of daily backups that a service keeps, to one prune by hand, or
// one automatic backup, that knows only of the default.
func TestPruneFollowsTheService(t *testing.T) {
	t.Parallel()
	keepsOne := func(c *snapshot.Config) { c.Retention = catalog.Policy{Last: 1} }
	b := newBench(t, "delete", func(c *snapshot.Config) { c.Retention = catalog.Policy{Last: 5} })
	r := b.run()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.mark("changed again")
		b.auto()
	}
	before := len(b.ids())
	going := func(edit ...func(*snapshot.Config)) (n int) {
		t.Helper()
		decisions, err := benchOn(t, b.m.Database(), edit...).m.PlanPrune(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range decisions {
			if !d.Keep {
				n++
			}
		}
		return n
	}
	if got := going(keepsOne); got != before-1 {
		t.Errorf("by its own policy %d of %d go", got, before)
	}
	follow := func(c *snapshot.Config) { c.FollowService = true }
	if got := going(keepsOne, follow); got != 0 {
		t.Errorf("by the service's policy %d of %d go", got, before)
	}
	other := benchOn(t, b.m.Database(), keepsOne, follow)
	other.mark("and again")
	other.auto()
	if got := len(b.ids()); got != before+1 {
		t.Errorf("after an automatic backup next to the service there are %d backups, want %d", got, before+1)
	}
}
