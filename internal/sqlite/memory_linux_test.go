package sqlite

import (
	"runtime"
	"testing"
)

// shadowed says that memory is not what a program takes.
var shadowed bool

// If this fails, a crafted file may take all memory, or a check of a large one leaves
// more garbage than of a small one.
func TestResidentMemory(t *testing.T) {
	for text, want := range map[string]int64{"5271 4030 3922 1 0 80 0\n": 4030, "1 0 0": 0, "": 0, "77": 0} {
		if got := residentPages([]byte(text)); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
	if shadowed {
		t.Skip("ONLY PARTLY TESTED: the race detector takes memory as well")
	}
	before := residentMemory()
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	if grown := residentMemory() - before; before < 1<<20 || grown < 60<<20 || grown > 90<<20 {
		t.Errorf("%d bytes, and %d more with 64 MiB", before, grown)
	}
	runtime.KeepAlive(held)
	if n := testing.AllocsPerRun(10, func() { residentMemory() }); n > 1 {
		t.Errorf("%v allocations; only the 128 bytes that are read into need be one", n)
	}
}
