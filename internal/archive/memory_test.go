package archive

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// heapPeak samples the live heap; the garbage in between is bounded by GOGC.
type heapPeak struct{ base, peak uint64 }

func (h *heapPeak) sample() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if h.base == 0 {
		h.base = m.HeapAlloc
	}
	h.peak = max(h.peak, m.HeapAlloc-min(m.HeapAlloc, h.base))
}

// If this fails, backing up or proving a large database takes memory in
// proportion to it. The image has as many page digests as one of 4 GiB in pages
// of 4 KiB: kept in memory, they alone would take all that is allowed here.
func TestMemoryDoesNotGrowWithTheImage(t *testing.T) {
	const pageSize, frame, frames = 512, 128 << 10, 4096
	const allowed = 8 << 20
	path := filepath.Join(t.TempDir(), "big"+Ext)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var h heapPeak
	image := make([]byte, frame)
	h.sample()
	w, err := NewWriter(f, WriterOptions{PageSize: pageSize, FrameBytes: frame, Workers: 2, ScratchDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	w.spool.limit = 64 << 10
	for i := range frames {
		if _, err := w.Write(image); err != nil {
			t.Fatal(err)
		}
		if i%512 == 511 {
			h.sample()
		}
	}
	info, err := w.Finish(testFacts)
	if err != nil {
		t.Fatal(err)
	}
	h.sample()
	if h.peak > allowed {
		t.Errorf("writing %d MiB held %d KiB", info.ImageBytes>>20, h.peak>>10)
	}
	t.Logf("writing %d MiB held %d KiB", info.ImageBytes>>20, h.peak>>10)

	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h = heapPeak{}
	h.sample()
	n := 0
	err = r.CopyTo(context.Background(), io.Discard, CopyOptions{Workers: 2, Progress: func(int64) {
		if n++; n%512 == 0 {
			h.sample()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if h.peak > allowed {
		t.Errorf("proving it held %d KiB", h.peak>>10)
	}
	t.Logf("proving it held %d KiB", h.peak>>10)
}
