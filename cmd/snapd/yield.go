package main

import "example.com/snapd/snapshot"

// An application next to a backup that keeps every processor busy waits milliseconds for
// one (BenchmarkHost). An automatic backup compresses with one worker less than there are
// processors (snapshot.Config.Workers); one by command lets other programs go first, too.

// yielding calls stepBack with the first event after which no writer waits for the backup:
// in a rollback-journal mode they wait while the image is spooled.
func yielding(stepBack func()) func(snapshot.Event) {
	done := false
	return func(ev snapshot.Event) {
		if !done && ev.Type == snapshot.EventProgress && ev.Phase != "spool" {
			done = true
			stepBack()
		}
	}
}
