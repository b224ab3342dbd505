package bench

import (
	"runtime"
	"testing"
)

// If this fails, a benchmark reports the memory of the one before it.
func TestPeakOfThisProcess(t *testing.T) {
	if !forgetPeak() {
		t.Skip("NOT TESTED: this system cannot forget the peak")
	}
	before := peak()
	held := make([]byte, 100<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	if after := peak(); before == 0 || after-before < 50<<20 {
		t.Errorf("%d, then %d bytes with 100 MiB more", before, after)
	}
	runtime.KeepAlive(held)
}
