package snapshot_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the data of a database file that went away, or what OnMissing promises.
func TestRecoverMissingDatabase(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"missing", "empty"} {
		for _, backups := range []bool{true, false} {
			for _, on := range []snapshot.OnMissing{"", snapshot.MissingRestore, snapshot.MissingFail, snapshot.MissingIgnore} {
				name := state + "/no backups/" + string(on)
				if backups {
					name = state + "/backups/" + string(on)
				}
				t.Run(name, func(t *testing.T) { recoverMissing(t, state, backups, on) })
			}
		}
	}
}

func recoverMissing(t *testing.T, state string, backups bool, on snapshot.OnMissing) {
	b := newBench(t, "wal", func(c *snapshot.Config) { c.OnMissing = on })
	id := ""
	if backups {
		b.mark("saved")
		id = b.auto().ID
	}
	if err := os.Remove(b.m.Database()); err != nil {
		t.Fatal(err)
	}
	if state == "empty" {
		writeFile(t, b.m.Database(), nil)
	}
	testdb.Damaged(t, b.m.Database())
	before := b.appFiles()
	if backups && (on == "" || on == snapshot.MissingRestore) {
		if rec := b.recovers(id); string(rec.Verdict) != state || rec.Quarantined != nil || b.marked() != "saved" {
			t.Errorf("recovery %+v, mark %q", rec, b.marked())
		}
		return
	}
	rec, err := b.m.Recover(t.Context())
	if string(rec.Verdict) != state || rec.Action != snapshot.ActionNone || rec.Restored != nil {
		t.Errorf("recovery %+v", rec)
	}
	if backups && on == snapshot.MissingFail {
		if !errors.Is(err, snapshot.ErrMissing) || snapshot.Hint(err) == "" {
			t.Errorf("got %v, hint %q", err, snapshot.Hint(err))
		}
	} else if err != nil {
		t.Error(err)
	}
	if after := b.appFiles(); after != before {
		t.Errorf("something was touched:\n%s\nbefore:\n%s", after, before)
	}
}

// Lost: the restored database, when an orphan log or journal of the lost one is
// replayed onto it; or the commits in that log.
func TestRecoverMissingWithOrphans(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"-wal", "-journal"} {
		t.Run(suffix, func(t *testing.T) {
			b := newBench(t, "wal")
			b.mark("saved")
			good := b.auto()
			if err := os.Remove(b.m.Database()); err != nil {
				t.Fatal(err)
			}
			orphan := []byte(strings.Repeat("commits of the lost database ", 500))
			writeFile(t, b.m.Database()+suffix, orphan)
			rec := b.recovers(good.ID)
			kept := glob(t, b.m.Dir(), "corrupted_*.db"+suffix)
			if len(kept) != 1 || !bytes.Equal(readFile(t, filepath.Join(b.m.Dir(), kept[0])), orphan) {
				t.Errorf("the orphan was not kept: %v", kept)
			}
			if left := glob(t, filepath.Dir(b.m.Database()), "data.db-*"); len(left) > 0 || b.marked() != "saved" {
				t.Errorf("next to the restored database: %v; mark %q", left, b.marked())
			}
			if rec.Quarantined == nil || filepath.Base(*rec.Quarantined) != kept[0] {
				t.Errorf("recovery %+v says nothing of %v", rec, kept)
			}
		})
	}
}
