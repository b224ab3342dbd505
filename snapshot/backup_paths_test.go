package snapshot_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// Lost: databases whose path means something in URIs, globs or shells.
func TestOddPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"with space.db", "what?#100%25&=.db", "Größe№ 日本.db", "quo'te\".sqlite3", "noext", ".hidden", "-dash.db", "a*[b].db"} {
		for _, mode := range []string{"wal", "delete"} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "dir of "+strings.TrimSuffix(name, ".db"))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, name)
				makeDatabase(t, path, mode)
				b := benchOn(t, path)
				b.mark("saved")
				e := b.manual()
				if !bytes.Equal(stockImage(t, b.m.ArchivePath(e)), readFile(t, path)) {
					t.Error("zstd -d does not give the database")
				}
				b.mark("changed")
				if _, err := b.m.Restore(t.Context(), e.ID, snapshot.RestoreOptions{}); err != nil || b.marked() != "saved" {
					t.Errorf("restore: %v, mark %q", err, b.marked())
				}
				b.damage()
				if rec, err := b.m.Recover(t.Context()); err != nil || rec.Action != snapshot.ActionRestored {
					t.Errorf("recover: %+v %v", rec, err)
				}
				b.noDebris()
			})
		}
	}
}

// Lost: the file behind a link: sidecars, backups and the restored file belong
// next to it, and the link must stay one.
func TestSymlinkedDatabase(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			real := filepath.Join(t.TempDir(), "data.db")
			makeDatabase(t, real, mode)
			link := filepath.Join(t.TempDir(), "link.db")
			if err := os.Symlink(real, link); err != nil {
				t.Skipf("NOT TESTED: symbolic links cannot be made here: %v", err)
			}
			b := benchOn(t, link)
			if b.m.Database() != real || b.m.Dir() != filepath.Join(filepath.Dir(real), "backups") {
				t.Errorf("database %s, directory %s", b.m.Database(), b.m.Dir())
			}
			b.mark("saved")
			e := b.manual()
			b.damage()
			if rec, err := b.m.Recover(t.Context()); err != nil || rec.Action != snapshot.ActionRestored {
				t.Fatalf("recover: %+v %v", rec, err)
			}
			if st, err := os.Lstat(link); err != nil || st.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("the link is no link any more: %v %v", st, err)
			}
			if got := markOf(t, link); got != "saved" || !strings.HasPrefix(e.ID, "data_") {
				t.Errorf("mark %q, id %s", got, e.ID)
			}
		})
	}
}
