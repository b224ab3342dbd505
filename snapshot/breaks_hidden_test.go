package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the alarm, and thirty days later the past. What follows a break that lost data (another new file, a
// recovery or a restore of a backup since) leaves the data lost: it stands until it is accepted, or undone.
func TestALossStandsBehindWhatFollows(t *testing.T) {
	t.Parallel()
	for name, follow := range map[string]func(t *testing.T, b *bench){
		"made a second time": func(t *testing.T, b *bench) {
			removeDatabase(t, b.m.Database())
			makeEmptied(t, b.m.Database(), "delete")
			execOn(t, b.m.Database(), "INSERT INTO settings SELECT hex(randomblob(3000)), 'value'")
			b.auto()
		},
		"recovered": func(t *testing.T, b *bench) {
			b.damage()
			if _, err := b.m.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"restored": func(t *testing.T, b *bench) {
			if _, err := b.m.Restore(t.Context(), "latest", snapshot.RestoreOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete")
			b.mark("good")
			good := b.auto()
			if err := os.Rename(b.m.Database(), b.m.Database()+".was"); err != nil {
				t.Fatal(err)
			}
			makeEmptied(t, b.m.Database(), "delete")
			b.auto()
			stands := func(when string) {
				t.Helper()
				s := b.status()
				if s.State != snapshot.AtRisk || s.Break == nil || s.Break.Cause != catalog.Emptied || s.Break.Before == nil || *s.Break.Before != good.ID {
					t.Errorf("%s: %s, %s; break %+v", when, s.State, s.Reason, s.Break)
				}
			}
			stands("emptied")
			follow(t, b)
			stands("then")
			execOn(t, b.m.Database(), "INSERT INTO settings VALUES ('new', 'work')")
			b.auto()
			stands("with a backup")
			if err := os.Remove(filepath.Join(b.m.Dir(), "catalog.json")); err != nil {
				t.Fatal(err)
			}
			b.reopen()
			if _, err := b.m.Verify(t.Context(), good.ID, snapshot.LevelQuick); err != nil {
				t.Fatal(err)
			}
			execOn(t, b.m.Database(), "INSERT INTO settings VALUES ('newer', 'work')")
			b.auto()
			stands("with a catalog that was rebuilt")

			if name == "made a second time" { // the file of before comes back
				removeDatabase(t, b.m.Database())
				if err := os.Rename(b.m.Database()+".was", b.m.Database()); err != nil {
					t.Fatal(err)
				}
				b.auto()
			} else if accepted, err := b.m.AcceptBreak(t.Context()); err != nil || accepted == nil || accepted.Cause != catalog.Emptied {
				t.Errorf("accepted %+v, %v", accepted, err)
			}
			if s := b.wants(snapshot.Protected, ""); s.Break != nil {
				t.Errorf("after its end: %+v", s.Break)
			}
		})
	}
}

// Wrong: a break that a restore had ended, where the catalog was lost before the next backup: the archives end with the state that was
// given up. What the database has now decides. A restore that did not take place ends nothing.
func TestARestoreEndsTheBreakWithoutTheCatalog(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"online", "offline", "cancelled"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete")
			b.mark("good")
			good := b.auto()
			if err := os.Rename(b.m.Database(), b.m.Database()+".was"); err != nil {
				t.Fatal(err)
			}
			makeEmptied(t, b.m.Database(), "delete")
			b.auto()
			safety, err := b.m.Restore(t.Context(), good.ID, snapshot.RestoreOptions{Offline: how == "offline"})
			if err != nil {
				t.Fatal(err)
			}
			if s := b.wants(snapshot.Protected, ""); s.Break != nil {
				t.Fatalf("break %+v", s.Break)
			}
			if how == "cancelled" {
				b.remove()
				testdb.Damaged(t, b.m.Database())
				image := filepath.Join(t.TempDir(), "emptied.db")
				if _, err := b.m.Restore(t.Context(), *safety.SafetyBackup, snapshot.RestoreOptions{To: image}); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(image, b.m.Database()); err != nil {
					t.Fatal(err)
				}
			} else {
				b.mark("work")
			}
			if err := os.Remove(filepath.Join(b.m.Dir(), "catalog.json")); err != nil {
				t.Fatal(err)
			}
			b.reopen()
			if _, err := b.m.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, id := range b.ids() {
				if _, err := b.m.Verify(t.Context(), id, snapshot.LevelQuick); err != nil {
					t.Fatal(err)
				}
			}
			if latest, err := b.m.Find("latest"); how != "cancelled" && (err != nil || latest.ID != good.ID) {
				t.Errorf("after rebuild latest is %s, %v; want %s, which was restored", latest.ID, err, good.ID)
			}
			for _, when := range []string{"at once", "with a backup"} {
				s := b.status()
				if stands := s.Break != nil && s.Break.Cause == catalog.Emptied && s.Break.Before != nil && *s.Break.Before == good.ID; stands != (how == "cancelled") {
					t.Errorf("%s: %s, %s; break %+v", when, s.State, s.Reason, s.Break)
				}
				b.auto()
			}
		})
	}
}
