package snapshot_test

import (
	"errors"
	"os"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the knowledge that the disk with the backups is gone. A backup directory that
// was made again in its place would hold one backup and say "protected".
func TestBackupDirectoryGoesAway(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, dir string){
		"gone":          func(*testing.T, string) {},
		"empty":         func(t *testing.T, dir string) { mkdir(t, dir) },
		"another's own": func(t *testing.T, dir string) { otherDirectory(t, dir) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "wal")
			b.auto()
			dir, away := b.m.Dir(), b.m.Dir()+".away"
			if err := os.Rename(dir, away); err != nil {
				t.Fatal(err)
			}
			replace(t, dir)
			before := listing(t, dir)
			b.mark("later")
			if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, snapshot.ErrDirectory) || snapshot.Hint(err) == "" || snapshot.Code(err) != "directory" {
				t.Errorf("backup: %v, hint %q", err, snapshot.Hint(err))
			}
			if _, err := b.m.Check(t.Context(), snapshot.LevelQuick); err != nil {
				t.Error(err) // the database is as good as it was
			}
			if s := b.status(); s.State != snapshot.Unprotected || s.Code != snapshot.WhyDirectory {
				t.Errorf("status %s, %s: %s", s.State, s.Code, s.Reason)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("made in its place:\n%s\nbefore:\n%s", after, before)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(away, dir); err != nil {
				t.Fatal(err)
			}
			b.manual()
			if s := b.status(); s.State != snapshot.Protected || len(b.ids()) != 2 {
				t.Errorf("back again: %s because %s, %v", s.State, s.Reason, b.ids())
			}
		})
	}
}

// If this fails, backups end when the directory was copied to another disk, mounted in its place.
func TestBackupDirectoryIsMoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.auto()
	away := b.m.Dir() + ".away"
	if err := os.Rename(b.m.Dir(), away); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(b.m.Dir(), os.DirFS(away)); err != nil {
		t.Fatal(err)
	}
	b.mark("later")
	b.manual()
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// otherDirectory makes dir the backup directory of another service's copy of the database.
func otherDirectory(t *testing.T, dir string) {
	t.Helper()
	other := newBench(t, "wal")
	other.auto()
	if err := os.Rename(other.m.Dir(), dir); err != nil {
		t.Fatal(err)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "none"
	}
	return testdb.DirListing(t, dir)
}
