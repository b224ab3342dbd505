package repair

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
)

const maxFuzzed = 1 << 18 // bytes of each file

// For any damaged database, an attempt to repair it ends in time with a whole
// file, or with a reason.
func FuzzCopy(f *testing.F) {
	seedSidecars(f, func(files [3][]byte) { f.Add(files[0], files[1], files[2]) })
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, db, wal, journal []byte) {
		if len(db) > maxFuzzed || len(wal) > maxFuzzed || len(journal) > maxFuzzed {
			return
		}
		path := filepath.Join(dir, "x.db")
		for i, b := range [][]byte{db, wal, journal} {
			if err := os.Remove(path + sidecars[i]); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if i == 0 || len(b) > 0 {
				put(t, path+sidecars[i], b)
			}
		}
		rep, err := integrity.Check(t.Context(), path, integrity.Options{Level: integrity.LevelQuick, ScratchDir: dir})
		if err != nil || !rep.Damaged() {
			return
		}
		start := time.Now()
		m, err := Copy(t.Context(), path, rep, Options{Dir: dir})
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("an attempt took %v", d)
		}
		if left, err := livedb.Sidecars(path); err != nil || len(left) > 0 {
			t.Errorf("left next to the file: %v, %v", left, err)
		}
		if e := (*integrity.CheckError)(nil); err != nil {
			if !errors.Is(err, ErrNotRepairable) && !errors.As(err, &e) {
				t.Errorf("neither a reason nor an integrity.CheckError: %v", err)
			}
			return
		}
		after, err := integrity.Check(t.Context(), path, integrity.Options{Level: integrity.LevelFull, ScratchDir: dir})
		if err != nil || after.Damaged() {
			t.Errorf("repaired (%+v), and then %+v, %v", m, after, err)
		}
	})
}

var sidecars = []string{"", "-wal", "-journal"}

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
