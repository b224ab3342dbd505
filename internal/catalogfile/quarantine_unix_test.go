//go:build unix

package catalogfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.com/snapd/internal/catalogfile"
)

// kept makes a quarantine with that content; unrestored below 0 is not known.
func kept(t *testing.T, dir, name, content string, unrestored int64) {
	t.Helper()
	write(t, filepath.Join(dir, name+".db"), []byte(content))
	write(t, filepath.Join(dir, name+".json"), []byte(`{"verdict":"corrupt","findings":[]}`))
	if unrestored >= 0 {
		if err := catalogfile.NoteUnrestored(filepath.Join(dir, name+".db"), unrestored); err != nil {
			t.Fatal(err)
		}
	}
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	all, err := catalogfile.Quarantines(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		list = append(list, strings.TrimPrefix(q.Name, "corrupted_20310305_"))
	}
	return list
}

// Lost: the disk, to a damage that comes again and again; or the only copy of rows, to a limit.
func TestThinnedQuarantines(t *testing.T) {
	dir := t.TempDir()
	for i, tc := range []struct {
		content    string
		unrestored int64
	}{
		{"first", 0}, {"again", 3}, {"second", 0}, {"third", 0}, {"rows", 5}, {"nothing", 0}, {"unknown", -1}, {"again", 3},
		{"late", 0}, {"later", 0}, {"last", 0},
	} {
		kept(t, dir, fmt.Sprintf("corrupted_20310305_1200%02d", i), tc.content, tc.unrestored)
	}
	write(t, filepath.Join(dir, "corrupted_20310305_120001.db-wal"), nil) // and so it is not the same as 07
	write(t, filepath.Join(dir, "corrupted_20310305_120011.json"), []byte("{}"))
	if gone, err := catalogfile.ThinQuarantines(dir); err != nil || len(gone) != 2 {
		t.Errorf("%v, %v", gone, err)
	}
	want := []string{"120000", "120001", "120002", "120004", "120006", "120007", "120008", "120009", "120010"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "corrupted_20310305_120001.db-wal")); err != nil {
		t.Fatal(err)
	}
	gone, err := catalogfile.ThinQuarantines(dir)
	if err != nil || len(gone) != 1 || gone[0].Name != "corrupted_20310305_120001" || !strings.Contains(gone[0].Why, "the same as corrupted_20310305_120007") {
		t.Errorf("the same damage is kept twice: %v, %v", gone, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "corrupted_20310305_120001*")); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// Lost: an operation, or another file, to what another user puts in the place of a quarantine.
func TestPlantedQuarantines(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	write(t, victim, []byte("precious"))
	for i := range 2 {
		kept(t, dir, fmt.Sprintf("corrupted_20310305_12000%d", i), "same", 0)
	}
	report := filepath.Join(dir, "corrupted_20310305_120000.json")
	err := errors.Join(os.Remove(report), os.Symlink(victim, report),
		os.Symlink(victim, filepath.Join(dir, "corrupted_20310305_120002.db")), os.Mkdir(filepath.Join(dir, "corrupted_20310305_120003.db"), 0o700),
		syscall.Mkfifo(filepath.Join(dir, "corrupted_20310305_120004.db"), 0o600), syscall.Mkfifo(filepath.Join(dir, "corrupted_20310305_120001.db-wal"), 0o600),
		os.WriteFile(filepath.Join(dir, "corrupted_99999999_999999.db"), nil, 0o600), os.WriteFile(filepath.Join(dir, "corrupted_..db"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	err = soon(t, "thinning", func() error { _, err := catalogfile.ThinQuarantines(dir); return err })
	if got := names(t, dir); err != nil || !slices.Equal(got, []string{"120001"}) {
		t.Errorf("left are %v, %v", got, err)
	}
	if got := string(readFile(t, victim)); got != "precious" {
		t.Errorf("the file that a link points to holds %q", got)
	}
}
