package changes

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
)

// BenchmarkMap makes the map of the last of 10,000 points of a 1 GiB database whose every page was
// changed since the base, and reports what it holds in memory, and the most that making it took.
func BenchmarkMap(b *testing.B) {
	const points, pages, perPoint = 10_000, 1 << 30 / 4096, 30
	l, err := Open(filepath.Join(b.TempDir(), "1"), testHead(4096))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	rng, next := rand.New(rand.NewPCG(1, 2)), uint32(0)
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for seq := uint64(1); seq <= points; seq++ {
		changed := make([]uint32, 0, perPoint)
		for len(changed) < perPoint-2 { // each page once, and some twice
			changed = append(changed, next%pages+1)
			next++
		}
		for range 2 {
			changed = append(changed, 1+rng.Uint32N(pages))
		}
		slices.Sort(changed)
		changed = slices.Compact(changed)
		c := Capture{Seq: seq, From: at, At: at.Add(time.Second), Commits: 1, Pages: pages, Sum: archive.Sum{}.Digits()}
		at = c.At
		err := l.Append(b.Context(), c, changed, func(pgno uint32, page []byte) error {
			clear(page)
			copy(page, fmt.Sprint(seq, pgno))
			return nil
		})
		if err == nil && seq%300 == 0 { // five minutes
			err = l.Seal()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	var before, now runtime.MemStats
	var most, held uint64
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		stop, peak := make(chan struct{}), make(chan uint64)
		go func() { peak <- peakHeap(stop) }()
		m, err := l.Map(b.Context(), 0, points)
		close(stop)
		if most = max(most, <-peak-before.HeapAlloc); err != nil {
			b.Fatal(err)
		}
		if m.Len() != pages {
			b.Fatalf("%d pages", m.Len())
		}
		runtime.GC()
		runtime.ReadMemStats(&now)
		held = max(held, now.HeapAlloc-before.HeapAlloc)
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(m)
	}
	b.ReportMetric(float64(held), "held-bytes")
	b.ReportMetric(float64(most), "peak-bytes")
}

// peakHeap is the most memory that is in use until stop.
func peakHeap(stop <-chan struct{}) (most uint64) {
	var s runtime.MemStats
	for {
		runtime.ReadMemStats(&s)
		most = max(most, s.HeapAlloc)
		select {
		case <-stop:
			return most
		case <-time.After(5 * time.Millisecond):
		}
	}
}
