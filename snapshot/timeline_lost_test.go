package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/snapshot"
)

// Lost: what a restore gave up came back as "latest", and captures after it went into the log from before, where the catalog was lost
// before the next backup. The change log that began with the restore says what the database goes on from.
func TestTheChangeLogKeepsTheTimelineWithoutTheCatalog(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.mark("good")
	good := b.auto()
	b.mark("undone")
	undone := b.auto()
	b.restores(good.ID, snapshot.RestoreOptions{})
	base := good
	base.Timeline.Number = 2
	capturing := b.captures(base)
	app := startPython(t, b.m.Database(), "5")
	app.ask("UPDATE accounts SET name = 'captured' WHERE id = 1")
	point := capturing()
	app.ask("UPDATE accounts SET name = 'not captured' WHERE id = 1")
	app.kill()
	if err := os.Remove(filepath.Join(b.m.Dir(), "catalog.json")); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	for _, e := range []snapshot.Backup{good, undone} {
		if _, err := b.m.Verify(t.Context(), e.ID, snapshot.LevelQuick); err != nil {
			t.Fatal(err)
		}
	}
	if latest, err := b.m.Find("latest"); err != nil || latest.ID != good.ID {
		t.Errorf("latest is %s, %v; want the one that was restored, %s", latest.ID, err, good.ID)
	}
	if s := b.wants(snapshot.Protected, ""); s.Break != nil {
		t.Errorf("break %+v", s.Break)
	}
	b.damage()
	rec, err := b.m.Recover(t.Context())
	if err != nil || rec.Restored == nil || *rec.Restored != point || b.marked() != "captured" {
		t.Errorf("%+v, %v; marked %q, want point %s", rec, err, b.marked(), point)
	}
	if e := b.auto(); e.Timeline.Number != 3 {
		t.Errorf("the next backup is of timeline %+v, want 3", e.Timeline)
	}
}
