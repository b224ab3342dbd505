// Package measure runs programs and reports their cost: time on the wall and of
// the processors, and the most memory they held.
package measure

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// Cost is what one run of a program took.
type Cost struct {
	Wall, CPU time.Duration // CPU: user and system, of all threads
	// PeakBytes is the most memory that was resident, 0 where the system does not
	// report it. On Linux it is never less than what the process that started the program
	// held then: measure from a small one.
	PeakBytes int64
}

// Run runs cmd to its end. Its output is returned even with an error, which
// has its standard error unless cmd.Stderr was set.
func Run(cmd *exec.Cmd) (Cost, []byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	start := time.Now()
	err := cmd.Run()
	c := Cost{Wall: time.Since(start)}
	if s := cmd.ProcessState; s != nil {
		c.CPU = s.UserTime() + s.SystemTime()
		c.PeakBytes = peakOf(s)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", cmd.Path, err, bytes.TrimSpace(errs.Bytes()))
	}
	return c, out.Bytes(), err
}

// Median of values, which may not be empty; of two in the middle their mean.
func Median[T ~int64 | ~float64](values []T) T {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
