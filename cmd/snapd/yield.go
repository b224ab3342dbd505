package main

import (
	"os"
	"runtime"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// An application beside a backup that keeps every processor busy waits milliseconds
// for one (bench/hostload). Nobody waits for an automatic backup: it leaves a processor
// alone, if there are two. A manual one uses all, and lets others go first.

// leaveProcessor keeps this process from using all processors at once. What comes back
// lets it again.
func leaveProcessor() (giveBack func()) {
	all := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(1, all-1))
	return func() {
		if os.Getenv("GOMAXPROCS") != "" {
			runtime.GOMAXPROCS(all)
			return
		}
		runtime.SetDefaultGOMAXPROCS() // which goes on following a container's limits
	}
}

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

// sharing calls leave when an automatic backup begins, beside which there may be an
// application, and what that returned when the backup ends. One operation runs at a
// time, and its events come one after the other.
func sharing(leave func() (giveBack func())) func(snapshot.Event) {
	var giveBack func()
	return func(ev snapshot.Event) {
		if ev.Operation != "backup" {
			return
		}
		switch ev.Type {
		case snapshot.EventStarted:
			switch catalog.Trigger(ev.Trigger) {
			case catalog.TriggerStartup, catalog.TriggerSchedule, catalog.TriggerChange:
				giveBack = leave()
			}
		case snapshot.EventBackedUp, snapshot.EventUnchanged, snapshot.EventFailed:
			if giveBack != nil {
				giveBack()
				giveBack = nil
			}
		}
	}
}
