package remote

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
)

// Lost: the disk, to what restores left that were killed; or what another restore still works with.
func TestWhatKilledRestoresLeave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alive, remove, err := MakeScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, scratchName+"dead")
	beginning, never := filepath.Join(dir, scratchName+"beginning"), filepath.Join(dir, scratchName+"never")
	for _, path := range []string{dead, beginning, never, filepath.Join(dir, "others")} {
		if err := os.MkdirAll(filepath.Join(path, "changes", "1"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, scratchLock), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * unlocked)
	if err := os.Chtimes(never, old, old); err != nil {
		t.Fatal(err)
	}
	second, removeSecond, err := MakeScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	left := func() (paths []string) {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		hidden, errHidden := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil || errHidden != nil {
			t.Fatal(err, errHidden)
		}
		return slices.Compact(slices.Sorted(slices.Values(append(all, hidden...))))
	}
	want := slices.Sorted(slices.Values([]string{alive, beginning, filepath.Join(dir, "others"), second}))
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	remove()
	removeSecond()
	if got := left(); len(got) != 2 {
		t.Errorf("afterwards: %q", got)
	}

	s := history(t, false)
	p, err := s.reader().Find(t.Context(), Want{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.reader().Image(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	place := t.TempDir()
	half := filepath.Join(place, durable.TempPrefix+"data.db-0123456789abcdef")
	if err := os.WriteFile(half, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(t.Context(), i, filepath.Join(place, "data.db"), UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(half); err == nil {
		t.Error("the half of a restore that was killed is still there")
	}
}

// Lost: the file that a stranger's link in the system's directory names, or the time of who waits for a pipe.
func TestStrangersDirectoriesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	trap := filepath.Join(dir, scratchName+"trap")
	if err := os.Mkdir(trap, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(trap, 0o777); err != nil { //nolint:gosec // what strangers make
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(trap, scratchLock)); err != nil {
		t.Skip(err)
	}
	_, remove, err := MakeScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := os.Lstat(victim); err == nil {
		t.Error("a file was made where a link of others leads")
	}
	if _, err := os.Lstat(trap); err != nil {
		t.Errorf("a directory of others is gone: %v", err)
	}
}
