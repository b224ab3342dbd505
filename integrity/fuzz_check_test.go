package integrity

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// maxFuzzed is the largest file, in bytes, that is fuzzed: larger ones only make it slow.
const maxFuzzed = 1 << 18

// With any bytes in a database, its log and its journal, a check ends within
// its bounds, changes nothing, fails only with a CheckError, and the deeper one is
// never the more lenient.
func FuzzCheck(f *testing.F) {
	seedSidecars(f, func(files [3][]byte) { f.Add(files[0], files[1], files[2]) })
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, db, wal, journal []byte) {
		if len(db) > maxFuzzed || len(wal) > maxFuzzed || len(journal) > maxFuzzed {
			return
		}
		stored := filepath.Join(dir, "stored")
		path := place(t, stored, db, wal, journal)
		before := traces(t, stored)
		memory, _ := peakMemory()
		start := time.Now()
		quick, quickErr := Check(t.Context(), path, Options{Level: LevelQuick, ScratchDir: dir})
		full, fullErr := Check(t.Context(), path, Options{Level: LevelFull, ScratchDir: dir})
		if d := time.Since(start); d > 2*boundTime {
			t.Errorf("two checks took %v", d)
		}
		if after, _ := peakMemory(); runtime.GOOS == "linux" && after-memory > boundMemory {
			t.Errorf("memory grew from %d to %d bytes", memory, after)
		}
		for _, err := range []error{quickErr, fullErr} {
			if e := (*CheckError)(nil); err != nil && !errors.As(err, &e) {
				t.Errorf("not a CheckError: %v", err)
			}
		}
		if after := traces(t, stored); !maps.Equal(before, after) {
			t.Errorf("the check left traces: %v before, %v after", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
		}
		if quickErr != nil || fullErr != nil {
			return
		}
		if quick.Damaged() && !full.Damaged() && !partial(full) {
			t.Errorf("quick: %+v, full: %+v", quick, full)
		}
		if full.Verdict != Healthy || partial(full) {
			return
		}
		copied, err := CheckCopy(t.Context(), place(t, filepath.Join(dir, "copy"), db, wal, journal), Options{Level: LevelFull})
		if err != nil || copied.Verdict != Healthy && !partial(copied) {
			t.Errorf("a copy of a healthy database: %+v, %v", copied, err)
		}
	})
}

var sidecars = []string{"", "-wal", "-journal"}

// place puts a database with its sidecars alone into dir, and returns its path.
func place(t *testing.T, dir string, contents ...[]byte) string {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.db")
	for i, b := range contents {
		if i > 0 && len(b) == 0 {
			continue
		}
		if err := os.WriteFile(path+sidecars[i], b, 0o600); err != nil {
			t.Fatal(err)
		}
		age(t, path+sidecars[i])
	}
	age(t, dir)
	return path
}

// partial reports whether something was left unchecked.
func partial(r Report) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return strings.HasPrefix(string(f.Code), "unchecked_") })
}

// seedSidecars gives add every fixture with its log and journal.
func seedSidecars(f *testing.F, add func([3][]byte)) {
	all, err := filepath.Glob(filepath.Join(corpus, "*.db"))
	if err != nil || len(all) == 0 {
		f.Fatal("no fixtures")
	}
	for _, name := range all {
		var files [3][]byte
		for i, suffix := range sidecars {
			if files[i], err = os.ReadFile(name + suffix); err != nil && !os.IsNotExist(err) {
				f.Fatal(err)
			}
		}
		add(files)
	}
}
