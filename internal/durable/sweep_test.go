package durable

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// If this fails, crashes fill the disk, or sweeping deletes what is not ours.
func TestSweep(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A crash: the temporary files are never committed, discarded or closed.
	crashed := writeTemp(t, filepath.Join(dir, "data.db.zst"), "half")
	scratch, err := Scratch(dir, "spool")
	if err != nil {
		t.Fatal(err)
	}
	debris := []string{filepath.Base(crashed.Name()), filepath.Base(scratch.Name()), filepath.Base(scratch.Name()) + "-wal"}
	keep := []string{"data.db", "x" + TempPrefix + "y", ".snapd", TempPrefix + "dir", TempPrefix + "link"}
	if err := os.WriteFile(scratch.Name()+"-wal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range keep[:3] {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, keep[3]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, keep[4])); err != nil {
		t.Fatal(err)
	}
	alive := names(t, dir)
	if removed, err := Sweep(dir); err != nil || len(removed) > 0 || !slices.Equal(names(t, dir), alive) {
		t.Fatalf("swept a file in use: %v, %v", removed, err)
	}
	abandon(t, crashed.f)
	abandon(t, scratch.File)
	removed, err := Sweep(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(debris)
	slices.Sort(keep)
	if !slices.Equal(removed, debris) {
		t.Errorf("removed %v, want %v", removed, debris)
	}
	if got := names(t, dir); !slices.Equal(got, keep) {
		t.Errorf("kept %v, want %v", got, keep)
	}
	wantFile(t, outside, "precious")
	if removed, err := Sweep(dir); len(removed) > 0 || err != nil {
		t.Errorf("second sweep: %v, %v", removed, err)
	}
	if removed, err := Sweep(filepath.Join(dir, "missing")); len(removed) > 0 || err != nil {
		t.Errorf("missing directory: %v, %v", removed, err)
	}
	if err := scratch.Close(); err != nil {
		t.Errorf("close after the sweep: %v", err)
	}
	if err := crashed.Discard(); err != nil {
		t.Errorf("discard after the sweep: %v", err)
	}
}

// If this fails, sweeping in the application's directory takes the temporary
// files of another database, or files that only look like ours.
func TestSweepFor(t *testing.T) {
	dir := t.TempDir()
	const random = "0123456789abcdef"
	ours := []string{TempPrefix + "data.db-" + random, TempPrefix + "data.db-" + random + "-journal"}
	others := []string{
		TempPrefix + "data.db", TempPrefix + "data.db-", TempPrefix + "data.db-2-" + random, TempPrefix + "data-" + random,
		TempPrefix + "data.db-" + strings.ToUpper(random), TempPrefix + "data.db-" + random + "0", TempPrefix + "data.db-" + random + ".txt",
		"data.db-" + random,
	}
	for _, name := range slices.Concat(ours, others) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := writeTemp(t, filepath.Join(dir, "data.db"), "x")
	ours = append(ours, filepath.Base(f.Name()))
	abandon(t, f.f)
	removed, err := SweepFor(dir, "data.db")
	slices.Sort(ours)
	if err != nil || !slices.Equal(removed, ours) {
		t.Errorf("removed %v, %v, want %v", removed, err, ours)
	}
	slices.Sort(others)
	if got := names(t, dir); !slices.Equal(got, others) {
		t.Errorf("kept %v, want %v", got, others)
	}
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
}

// If this fails, private copies of the database stay in the temporary
// directory, or are readable by others.
func TestScratch(t *testing.T) {
	dir := t.TempDir()
	s, err := Scratch(dir, "check")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := s.File.Stat(); err != nil || st.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	for _, suffix := range sidecars {
		if err := os.WriteFile(s.Name()+suffix, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	s, err = Scratch(dir, "check")
	if err != nil {
		t.Fatal(err)
	}
	s.Unlink()
	if _, err := s.WriteAt([]byte("still usable"), 0); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // Windows
	s, err = Scratch("", "check")
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(s.Name()) != dir {
		t.Errorf("default directory: %s", s.Name())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Checks that were killed leave copies of databases in a directory for everyone's files.
// Lost otherwise: the disk; or the copy that another check makes this moment.
func TestSweepShared(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // Windows
	var files []*ScratchFile
	for range 3 {
		s, err := Scratch("", "check")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, s)
	}
	old := time.Now().Add(-2 * left)
	for _, s := range files[:2] { // of these two one is still in use
		if err := os.Chtimes(s.Name(), old, old); err != nil {
			t.Fatal(err)
		}
	}
	abandon(t, files[1].File)
	abandon(t, files[2].File)
	if removed := SweepShared(); !slices.Equal(removed, []string{filepath.Base(files[1].Name())}) {
		t.Errorf("removed %v of %v", removed, names(t, dir))
	}
}
