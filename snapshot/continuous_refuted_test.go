package snapshot_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the truth about points that are called verified, where a page of the database is not what the change log has: a
// proof finds it, says so, and takes no capture for verified that is not.
func TestACapturedPageThatDiffers(t *testing.T) {
	t.Parallel()
	c := newCounted(t, "wal")
	r := c.run()
	first := c.rec.wait(t, "the start-up backup", func(e snapshot.Event) bool { return e.Type == snapshot.EventBackedUp }).Backup
	c.commit(2)
	proven := c.captures()
	if b := c.manual(); b.Point != proven {
		t.Fatalf("the backup is point %q, not %s", b.Point, proven)
	}
	c.commit(2)
	wrong := c.captures()
	var body string
	if err := c.app.QueryRow("SELECT body FROM notes ORDER BY id LIMIT 1").Scan(&body); err != nil {
		t.Fatal(err)
	}
	base, err := c.m.Find(first)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(stockImage(t, c.m.ArchivePath(base)), []byte(body))
	testdb.Overwrite(t, c.m.Database(), int64(at), []byte{body[0] ^ 1})
	if b := c.manual(); b.Point != "" {
		t.Errorf("the backup is point %s, and differs from it", b.Point)
	}
	refuted := c.rec.wait(t, "a proof that fails", func(e snapshot.Event) bool { return e.Type == snapshot.EventChainGap && e.Point == wrong })
	if want := fmt.Sprintf("at %s 1 of its pages differ: %d;", wrong, at/4096+1); !strings.HasPrefix(refuted.Reason, want) {
		t.Errorf("%q, want %q", refuted.Reason, want)
	}
	right := c.captures() // by comparison
	if b := c.manual(); b.Point != right {
		t.Errorf("the next backup is point %q, not %s", b.Point, right)
	}
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	want := map[string]snapshot.PointState{proven: snapshot.PointVerified, wrong: snapshot.PointSealed, right: snapshot.PointVerified}
	all, _, err := c.m.Points(t.Context(), snapshot.PointsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range all {
		if state, is := want[p.ID]; is {
			seen++
			if p.State != state {
				t.Errorf("point %s is %s, not %s", p.ID, p.State, state)
			}
		}
	}
	if seen != len(want) {
		t.Errorf("%d of the points %v are listed", seen, want)
	}
	c.points()
}
