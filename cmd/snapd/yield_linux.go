package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// niceness as nice(1) has it. Half the way: on a machine that never rests, a backup of
// the lowest priority would hold the log of the database for hours.
const niceness = 10

// maxRounds bounds how often the threads are looked at, for systems that say yes and do nothing.
const maxRounds = 100

// stepBack lowers the priority of this process for good, as far as the system lets it.
// On Linux every thread has its own, and gives it to those that it makes: one that was
// made meanwhile may have missed it, so that it looks again until there is none.
func stepBack() {
	again := true
	for round := 0; again && round < maxRounds; round++ {
		again = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			// The system call answers 20 less the niceness (getpriority(2), notes).
			if now, err := unix.Getpriority(unix.PRIO_PROCESS, id); err != nil || now <= 20-niceness {
				continue
			}
			if err := unix.Setpriority(unix.PRIO_PROCESS, id, niceness); err == nil {
				again = true
			}
		}
	}
}
