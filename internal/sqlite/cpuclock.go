package sqlite

import "time"

// cpuClock measures the processor time of one goroutine from above: between two looks it
// is neither more than that of the process nor than the time that passes. A goroutine
// has no clock of its own, and changes its thread.
type cpuClock struct {
	spent time.Duration
	at    time.Time     // of the last look
	used  time.Duration // by the process until then
}

func (c *cpuClock) start() {
	*c = cpuClock{at: time.Now()}
	c.used, _ = processTime()
}

// look returns the time since start.
func (c *cpuClock) look() time.Duration {
	now := time.Now()
	passed := now.Sub(c.at)
	if used, ok := processTime(); ok {
		passed, c.used = min(passed, used-c.used), used
	}
	c.spent, c.at = c.spent+passed, now
	return c.spent
}
