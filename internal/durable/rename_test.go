package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// If this fails, data_latest points to nothing for a moment or for ever.
func TestSymlinkReplaces(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "latest")
	for _, name := range []string{"one", "two", "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		wantFile(t, link, name)
		if got, err := os.Readlink(link); err != nil || got != name {
			t.Errorf("link says %q, %v", got, err)
		}
	}
	// What a crash between symlink and rename leaves.
	if err := os.Symlink("one", filepath.Join(dir, TempPrefix+"latest-link")); err != nil {
		t.Fatal(err)
	}
	if err := Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	wantFile(t, link, "one")
	if got := names(t, dir); !slices.Equal(got, []string{"latest", "one", "two"}) {
		t.Errorf("left behind: %v", got)
	}
}

// If this fails, there is no data_latest where symbolic links cannot be made.
func TestSymlinkFallsBackToHardLink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "latest")
	refused := errors.New("a required privilege is not held")
	defer func(old func(string, string) error) { makeSymlink = old }(makeSymlink)
	makeSymlink = func(string, string) error { return refused }
	for _, name := range []string{"one", "two", "two"} { // the third: rename between links of one file
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		wantFile(t, link, name)
		if got := names(t, dir); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, TempPrefix) }) {
			t.Errorf("left behind: %v", got)
		}
	}
	if st, err := os.Lstat(link); err != nil || !st.Mode().IsRegular() {
		t.Errorf("link is %v, %v", st.Mode(), err)
	}
	if err := Symlink(filepath.Join(dir, "one"), link); err != nil {
		t.Fatal(err)
	}
	wantFile(t, link, "one")
	if got := names(t, dir); !slices.Equal(got, []string{"latest", "one", "two"}) {
		t.Errorf("left behind: %v", got)
	}
	if err := Symlink("missing", link); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, refused) {
		t.Errorf("hard link to nothing: %v", err)
	}
	wantFile(t, link, "one")
}

// If this fails, a quarantined database is lost in the move, or a removal of
// something already gone stops a job that is being replayed.
func TestRenameAndRemove(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	from, to := filepath.Join(dir, "a"), filepath.Join(other, "b")
	if err := WriteFile(from, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	var synced []string
	defer func(old func(*os.File) error) { syncFile = old }(syncFile)
	syncFile = func(f *os.File) error { synced = append(synced, f.Name()); return f.Sync() }
	if err := Rename(from, to); err != nil {
		t.Fatal(err)
	}
	wantFile(t, to, "a")
	if !slices.Equal(synced, []string{other, dir}) {
		t.Errorf("synced %v", synced)
	}
	third := filepath.Join(dir, "third")
	if err := WriteFile(third, []byte("c"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RenameNew(third, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("rename onto an existing file that must not be replaced: %v", err)
	}
	wantFile(t, to, "a")
	if err := errors.Join(RenameNew(third, third+"2"), Rename(third+"2", third)); err != nil {
		t.Error(err)
	}
	wantFile(t, third, "c")
	if err := Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename of nothing: %v", err)
	}
	if err := errors.Join(Remove(to), Remove(to), Remove(filepath.Join(dir, "no", "such"))); err != nil {
		t.Error(err)
	}
	if got := names(t, other); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	if err := SyncDir(filepath.Join(dir, "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sync of a missing directory: %v", err)
	}
}
