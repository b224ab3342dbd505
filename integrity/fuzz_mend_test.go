package integrity

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/livedb"
)

// Whatever is in a damaged database, an attempt to mend it ends in time with a whole
// file, or with a reason.
func FuzzMend(f *testing.F) {
	seedSidecars(f, func(files [3][]byte) { f.Add(files[0], files[1], files[2]) })
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, db, wal, journal []byte) {
		if len(db) > maxFuzzed || len(wal) > maxFuzzed || len(journal) > maxFuzzed {
			return
		}
		path := place(t, filepath.Join(dir, "stored"), db, wal, journal)
		rep, err := Check(t.Context(), path, Options{Level: LevelQuick, ScratchDir: dir})
		if err != nil || !rep.Mendable() {
			return
		}
		start := time.Now()
		m, err := Mend(t.Context(), path, rep, Options{ScratchDir: dir})
		if d := time.Since(start); d > 2*boundTime {
			t.Errorf("an attempt took %v", d)
		}
		if left := livedb.Sidecars(path); len(left) > 0 {
			t.Errorf("left beside the file: %v", left)
		}
		if e := (*CheckError)(nil); err != nil {
			if !errors.Is(err, ErrNotMendable) && !errors.As(err, &e) {
				t.Errorf("neither a reason nor a CheckError: %v", err)
			}
			return
		}
		after, err := Check(t.Context(), path, Options{Level: LevelFull, ScratchDir: dir})
		if err != nil || after.Damaged() {
			t.Errorf("mended (%+v), and then %+v, %v", m, after, err)
		}
	})
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
