package main

import (
	"testing"

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
