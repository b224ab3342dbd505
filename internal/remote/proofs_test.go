package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Lost: that a key was proven, or the difference from one that was not.
func TestProofs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	wants := func(key string, at time.Time, n int) {
		t.Helper()
		got, err := ReadProofs(dir)
		if err != nil || len(got) != n || !got[key].Equal(at) {
			t.Errorf("%d proofs, that of %s at %v: %v; want %d, %v", len(got), key, got[key], err, n, at)
		}
	}
	remember := func(at time.Time, keys ...string) {
		t.Helper()
		if err := RememberProof(dir, keys, at); err != nil {
			t.Fatal(err)
		}
	}
	wants("age1a", time.Time{}, 0)
	remember(noon, "age1a")
	remember(noon.Add(time.Hour), "age1b")
	wants("age1a", noon, 2)
	remember(noon.Add(2*time.Hour), "age1a")
	wants("age1a", noon.Add(2*time.Hour), 2)
	if fi, err := os.Stat(filepath.Join(dir, proofsFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", fi.Mode(), err)
	}
	for i := range 200 {
		remember(noon.Add(time.Duration(3+i)*time.Hour), fmt.Sprint("age1x", i))
	}
	wants("age1x199", noon.Add(202*time.Hour), 100)

	if err := os.WriteFile(filepath.Join(dir, proofsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadProofs(dir); err == nil {
		t.Errorf("a damaged file gives %v", got)
	}
	remember(noon, "age1a")
	wants("age1a", noon, 1)

	gone := filepath.Join(dir, "gone")
	if err := RememberProof(gone, []string{"age1a"}, noon); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("it was made")
	}
}
