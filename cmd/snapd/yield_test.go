package main

import (
	"runtime"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// If this fails, writers that wait for a spool wait for a process of low priority.
func TestYieldsOnlyAfterTheSpool(t *testing.T) {
	times := 0
	seen := yielding(func() { times++ })
	for i, ev := range []snapshot.Event{{Type: snapshot.EventStarted}, {Type: snapshot.EventProgress, Phase: "spool"}} {
		if seen(ev); times != 0 {
			t.Errorf("event %d: too early", i)
		}
	}
	for range 2 {
		if seen(snapshot.Event{Type: snapshot.EventProgress, Phase: "check"}); times != 1 {
			t.Errorf("%d times", times)
		}
	}
}

// If this fails, serve takes every processor from the application, or goes on with
// fewer for ever.
func TestSharesWhileAnAutomaticBackupRuns(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "4") // is no more the default than any other number
	runtime.GOMAXPROCS(4)
	seen := sharing(leaveProcessor)
	for i, step := range []struct {
		ev   snapshot.Event
		want int
	}{
		{snapshot.Event{Type: snapshot.EventStarted, Operation: "backup", Trigger: string(catalog.TriggerManual)}, 4},
		{snapshot.Event{Type: snapshot.EventBackedUp, Operation: "backup", Trigger: string(catalog.TriggerManual)}, 4},
		{snapshot.Event{Type: snapshot.EventStarted, Operation: "backup", Trigger: string(catalog.TriggerSchedule)}, 3},
		{snapshot.Event{Type: snapshot.EventFailed, Operation: "prune"}, 3},
		{snapshot.Event{Type: snapshot.EventFailed, Operation: "backup", Trigger: string(catalog.TriggerSchedule)}, 4},
		{snapshot.Event{Type: snapshot.EventStarted, Operation: "backup", Trigger: string(catalog.TriggerChange)}, 3},
		{snapshot.Event{Type: snapshot.EventUnchanged, Operation: "backup", Trigger: string(catalog.TriggerChange)}, 4},
		{snapshot.Event{Type: snapshot.EventUnchanged, Operation: "backup", Trigger: string(catalog.TriggerChange)}, 4},
		{snapshot.Event{Type: snapshot.EventStarted, Operation: "backup", Trigger: string(catalog.TriggerShutdown)}, 4},
		{snapshot.Event{Type: snapshot.EventStarted, Operation: "backup", Trigger: string(catalog.TriggerPreRestore)}, 4},
	} {
		if seen(step.ev); runtime.GOMAXPROCS(0) != step.want {
			t.Errorf("step %d: %d processors, want %d", i, runtime.GOMAXPROCS(0), step.want)
		}
	}
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	all := runtime.GOMAXPROCS(0)
	if leaveProcessor()(); runtime.GOMAXPROCS(0) != all {
		t.Errorf("%d processors, and %d before", runtime.GOMAXPROCS(0), all)
	}
}
