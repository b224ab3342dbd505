package repair

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Lost: the start of an application, to a comparison without an end; or rows, said to be none because the time was over.
func TestTrialComparesWithinItsTime(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "x.db", "PRAGMA page_size=4096; CREATE TABLE t(id INTEGER PRIMARY KEY, c UNIQUE); INSERT INTO t VALUES(1,'a'),(2,'b')")
	before := read(t, path)
	run(t, path, "INSERT INTO t VALUES(3,'c')")
	damaged := read(t, path)
	clear(damaged[(rootOf(t, path, "sqlite_autoindex_t_1")-1)*4096:][:4096])
	put(t, path, damaged)
	for _, limit := range []time.Duration{0, 1} {
		donor := &Image{R: bytes.NewReader(before), Size: int64(len(before))}
		trial, err := Try(t.Context(), path, checkFull(t, path), true, Options{Donor: donor, CompareFor: limit}, func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		defer trial.Discard()
		compared := trial.DonorLoses != nil && *trial.DonorLoses == 1 && trial.Result.NotCompared == "" && strings.Contains(trial.Result.Summary(), "without losing")
		given := trial.DonorLoses == nil && strings.Contains(trial.Result.NotCompared, "more than") && !strings.Contains(trial.Result.Summary(), "without losing")
		if limit == 0 && !compared || limit > 0 && !given {
			t.Errorf("within %s: %+v: %s", limit, trial, trial.Result.Summary())
		}
	}
}
