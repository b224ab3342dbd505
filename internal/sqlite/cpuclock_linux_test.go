package sqlite

import (
	"testing"
	"time"
)

// Lost: the verdict on a sound database, on a machine that has other work.
func TestProcessorTimePasses(t *testing.T) {
	var clock cpuClock
	clock.start()
	start := time.Now()
	for clock.look() < 50*time.Millisecond {
	}
	if passed := time.Since(start); passed < 50*time.Millisecond {
		t.Errorf("50 ms of the processor within %v", passed)
	}
	clock.start()
	before, ok := processTime()
	if !ok {
		t.Skip("NOT TESTED: the system does not report the processor time")
	}
	clock.at = clock.at.Add(-time.Hour) // as if it had waited for the processor
	spent := clock.look()
	if after, _ := processTime(); spent > after-before+time.Second {
		t.Errorf("waiting took %v of the processor", spent)
	}
}
