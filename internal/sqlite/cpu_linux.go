package sqlite

import (
	"time"

	"golang.org/x/sys/unix"
)

// processTime returns the processor time that the process has used; ok is false where it
// is not known.
func processTime() (used time.Duration, ok bool) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
