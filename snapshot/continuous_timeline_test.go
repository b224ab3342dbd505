package snapshot_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// exchange closes the application, moves its database with its log away, puts another one in its place, and
// connects again.
func (c *counted) exchange(away, other string) {
	c.t.Helper()
	c.app.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		move(c.t, c.m.Database()+suffix, away+suffix)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		move(c.t, other+suffix, c.m.Database()+suffix)
	}
	c.connect()
	c.write("PRAGMA journal_mode=wal")
}

func move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// Lost: what a point's number means, where the database of before a break comes back and another one takes its place again:
// the captures of two files would be in one log, or the numbers of the first given to the second.
func TestATimelineIsOfOneHistory(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	dir := t.TempDir()
	copied := func(name string) string {
		path := filepath.Join(dir, name)
		c.write("VACUUM INTO ?", path)
		return path
	}
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	want := map[string]int{} // commits that each point has
	var order []string
	capture := func(has, more int) {
		t.Helper()
		c.n = has
		c.commit(more)
		id := c.captures()
		order, want[id] = append(order, id), c.n
	}
	capture(0, 3)
	second, away := copied("second.db"), filepath.Join(dir, "away.db")
	c.exchange(away, second)
	capture(3, 2)
	c.exchange(filepath.Join(dir, "gone.db"), away)
	capture(3, 1)
	c.exchange(filepath.Join(dir, "gone too.db"), copied("third.db"))
	capture(4, 3)
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	for i, id := range order {
		if n, _ := c.ledger(id); n != want[id] || !strings.HasPrefix(id, fmt.Sprint(i+1, ".")) {
			t.Errorf("point %s of %v has %d commits, not %d", id, order, n, want[id])
		}
	}
	c.points()
	newest, _, err := c.m.Points(t.Context(), snapshot.PointsQuery{Limit: 1})
	if err != nil || len(newest) != 1 || !strings.HasPrefix(newest[0].ID, "4.") {
		t.Errorf("the newest point is not of timeline 4: %d, %v", len(newest), err)
	}
}

// Lost: the meaning of a point's number, where the change log of a timeline is gone and captures go on: the backup with
// the point of that number would be taken for its state.
func TestNumbersAreNotGivenTwice(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	r := c.run()
	c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp })
	c.commit(3)
	c.captures()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	latest, err := c.m.Find("latest")
	if err != nil || latest.Point == "" {
		t.Fatalf("%+v, %v", latest, err)
	}
	if err := os.RemoveAll(filepath.Join(c.m.Dir(), "changes")); err != nil {
		t.Fatal(err)
	}
	c.reopen()
	r = c.run()
	c.commit(2)
	after := c.captures()
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if n, _ := c.ledger(latest.Point); n != 3 || strings.HasPrefix(after, "1.") {
		t.Errorf("%s has %d commits of 3, then comes %s", latest.Point, n, after)
	}
	c.points()
}
