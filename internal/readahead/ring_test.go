package readahead_test

import (
	"sync/atomic"
	"testing"

	"example.com/snapd/internal/readahead"
)

// Lost: the order, or a value, where a worker is slower than another; or a value that is overwritten while it is used.
func TestValuesComeInOrder(t *testing.T) {
	t.Parallel()
	type value struct{ n, square int }
	for workers := 1; workers <= 4; workers++ {
		for _, count := range []int{0, 1, workers + 2, 1000} {
			filled := 0
			var loaded atomic.Int64
			r := readahead.New(workers, func(v *value) bool {
				v.n = filled
				filled++
				return v.n < count
			}, func(v *value) {
				v.square = v.n * v.n
				loaded.Add(1)
			})
			for n := range count {
				v := r.Next()
				if v == nil || v.n != n || v.square != n*n {
					t.Fatalf("%d workers, value %d of %d: %+v", workers, n, count, v)
				}
				if filled > n+workers+2+1 {
					t.Fatalf("%d workers: %d values were asked for when %d was taken", workers, filled, n)
				}
			}
			if v := r.Next(); v != nil {
				t.Errorf("%d workers: after the last of %d comes %+v", workers, count, v)
			}
			r.Stop()
			if loaded.Load() != int64(count) {
				t.Errorf("%d workers loaded %d values of %d", workers, loaded.Load(), count)
			}
		}
	}
}

// A reader that gives up early waits for its workers: they may hold files that it closes then.
func TestStopWaitsForTheWorkers(t *testing.T) {
	t.Parallel()
	var asked, loaded int
	r := readahead.New(1, func(*int) bool { asked++; return true }, func(*int) { loaded++ })
	r.Next()
	r.Stop()
	if loaded != asked || asked == 0 {
		t.Errorf("%d of %d values were loaded", loaded, asked)
	}
}
