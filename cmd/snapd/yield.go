package main

import (
	"runtime"

	"example.com/snapd/snapshot"
)

// An application beside a backup that keeps every processor busy waits milliseconds
// for one (bench/hostload). Nobody waits for an automatic backup: it leaves a processor
// alone, if there are two. A manual one uses all, and lets others go first.

// leaveProcessor keeps this process from using all processors at once.
func leaveProcessor() { runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)-1)) }

// yielding calls step back with the first event that tells that nobody waits for the
// backup any more: writers do while the image is spooled in a rollback mode.
func yielding(stepBack func()) func(snapshot.Event) {
	done := false
	return func(ev snapshot.Event) {
		if !done && ev.Type == snapshot.EventProgress && ev.Phase != "spool" {
			done = true
			stepBack()
		}
	}
}
