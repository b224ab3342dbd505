package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost if this fails: the database whose online restore dies when most of it has
// been written, but not committed. In a rollback mode the file is torn then, and
// only its -journal can take it back, which every later process must respect.
func TestKilledWithPagesWritten(t *testing.T) {
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			template := filepath.Join(t.TempDir(), "template")
			must(t, os.Mkdir(template, 0o700))
			db := filepath.Join(template, "data.db")
			must(t, samplecrm.Create(t.Context(), db, samplecrm.Options{Bytes: 8 << 20, Seed: 1, JournalMode: mode}))
			_, err := openManager(t, db).Backup(t.Context(), snapshot.Manual(manualNote))
			must(t, err)
			testdb.ShellQuery(t, db, "PRAGMA synchronous=off; UPDATE activities SET body=upper(body); UPDATE attachments SET content=zeroblob(length(content)); CREATE TABLE late(a)")
			before := testdb.FileHash(t, db)
			old := testdb.ShellQuery(t, db, ".sha3sum")
			crash := func() string {
				dir := filepath.Join(t.TempDir(), "work")
				command(t, "cp", "-a", template, dir)
				db := filepath.Join(dir, "data.db")
				testdb.CheckAtEnd(t, db)
				if got := crashAt(t, "restore online", db, "pages replaced"); got != "pages replaced" {
					t.Fatalf("stopped at %q", got)
				}
				spilled, sidecar := testdb.FileHash(t, db) != before, "-journal"
				if mode == "wal" {
					sidecar = "-wal"
				}
				st, err := os.Stat(db + sidecar)
				if err != nil || st.Size() < 1<<20 || mode == "delete" && !spilled {
					t.Fatalf("nothing was written before the commit (%v): the test proves nothing", err)
				}
				return db
			}
			t.Run("snapd first", func(t *testing.T) {
				db := crash()
				m := openManager(t, db)
				b, err := m.Backup(t.Context(), snapshot.Manual("next to a half-done restore"))
				if err != nil || b.Verification.State != catalog.Verified {
					t.Fatalf("backup: %v %+v", err, b.Verification)
				}
				if got := testdb.ShellQuery(t, image(t, m, b.ID), ".sha3sum"); got != old {
					t.Error("the backup is not of the old state")
				}
				rec, err := m.Recover(t.Context())
				if err != nil || rec.Action != snapshot.ActionNone {
					t.Errorf("recover: %+v, %v", rec, err)
				}
				must(t, restoreManual(t.Context(), m, false))
				if got := testdb.ShellQuery(t, db, "SELECT count(*) FROM sqlite_schema WHERE name='late'"); got != "0" {
					t.Error("the restore had no effect at its second try")
				}
			})
			t.Run("application first", func(t *testing.T) {
				db := crash()
				if got := testdb.ShellQuery(t, db, ".sha3sum"); got != old {
					t.Error("the application does not find its old state")
				}
				noDebris(t, openManager(t, db).Database(), "after the application")
			})
		})
	}
}

// Lost: a backup directory in which a deletion was cut short. The steps of
// catalog.Delete are made by hand here: the link moves, the archive goes, and the
// entry stays.
func TestDeletionCutShort(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"link moved", "archive removed", "archive removed, link dangles"} {
		t.Run(stage, func(t *testing.T) {
			s := &scenario{name: stage, op: "delete", mode: "wal"}
			s.prepare(t)
			db := s.copy(t)
			dir := filepath.Join(filepath.Dir(db), "backups")
			link := filepath.Join(dir, "data_latest.db.zst")
			if stage != "archive removed, link dangles" {
				must(t, os.Remove(link))
				must(t, os.Symlink(s.ids[1]+".db.zst", link))
			}
			if stage != "link moved" {
				must(t, os.Remove(filepath.Join(dir, s.ids[0]+".db.zst")))
			}
			s.finish(t, db, stage)
		})
	}
}
