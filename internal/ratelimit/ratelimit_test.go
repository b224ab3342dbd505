package ratelimit

import (
	"testing"
	"time"
)

// If this fails, a limit lets more through than it says, or keeps a source out for longer.
func TestBucket(t *testing.T) {
	limit := Limit{Burst: 3, Every: time.Minute}
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	var b Bucket
	for i := range limit.Burst {
		if wait := b.Wait(now, limit); wait != 0 {
			t.Fatalf("event %d of the burst waits %s", i, wait)
		}
		b.Take(now, limit)
	}
	if got := b.Wait(now, limit); got != time.Minute {
		t.Errorf("after the burst the wait is %s, want 1m", got)
	}
	if got := b.Wait(now.Add(59*time.Second), limit); got != time.Second {
		t.Errorf("59 seconds later the wait is %s, want 1s", got)
	}
	if b.Empty(now.Add(3*time.Minute - 1)) {
		t.Error("events are forgotten too early")
	}
	if !b.Empty(now.Add(3 * time.Minute)) {
		t.Error("events count for too long")
	}
	if got := b.Wait(now.Add(-365*24*time.Hour), limit); got != 4*time.Minute {
		t.Errorf("after the clock went back by a year the wait is %s, want 4m", got)
	}
}
