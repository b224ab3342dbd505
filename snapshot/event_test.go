package snapshot_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// Lost: who asked for an operation, and which of a caller's operations an event
// belongs to; or the same identity on an operation without a caller.
func TestEventsBearTheCaller(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	var mu sync.Mutex
	var all []snapshot.Event
	cancel := b.m.Subscribe(func(ev snapshot.Event) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, ev)
	})
	ctx := snapshot.WithCaller(t.Context(), snapshot.Caller{Who: "alice", Run: "op-1"})
	if _, err := b.m.Backup(ctx, snapshot.Manual("")); err != nil {
		t.Fatal(err)
	}
	progress := 0
	for _, ev := range all {
		if ev.Who != "alice" || ev.Run != "op-1" {
			t.Errorf("%s %s: who %q, run %q", ev.Type, ev.Phase, ev.Who, ev.Run)
		}
		if ev.Type == snapshot.EventProgress && ev.Done > 0 {
			progress++
		}
	}
	if len(all) < 5 || progress == 0 {
		t.Errorf("%d events, %d of them of bytes done", len(all), progress)
	}
	cancel()
	cancel() // does nothing
	seen := len(all)
	b.manual()
	if len(all) != seen {
		t.Errorf("%v were delivered after the subscription was cancelled", all[seen:])
	}
	for _, ev := range b.rec.of(snapshot.EventBackedUp)[1:] {
		if ev.Who != "" || ev.Run == "" || ev.Run == "op-1" {
			t.Errorf("an operation without a caller has who %q, run %q", ev.Who, ev.Run)
		}
	}
}

// Lost: the promise that a subscriber which was cancelled is not called again, on
// which its owner closes what the calls would write to.
func TestSubscriberIsNotCalledAfterCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() {
		for ctx.Err() == nil {
			_, _ = b.m.Backup(ctx, snapshot.Manual(""))
		}
	})
	for range 100 {
		called := make(chan struct{}, 1)
		var closed bool // guarded by the promise alone: the race detector watches
		cancel := b.m.Subscribe(func(snapshot.Event) {
			if closed {
				t.Error("called after cancel returned")
			}
			select {
			case called <- struct{}{}:
			default:
			}
		})
		<-called
		cancel()
		closed = true
	}
	stop()
	busy.Wait()
}

// Lost: a host's own clock, by which times in entries, events and schedules go.
func TestClockIsTheHosts(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Now = func() time.Time { return at } })
	if e := b.manual(); !e.CreatedAt.Equal(at) {
		t.Errorf("taken at %s", e.CreatedAt)
	}
	for _, ev := range b.rec.of(snapshot.EventBackedUp) {
		if !ev.At.Equal(at) {
			t.Errorf("event at %s", ev.At)
		}
	}
	state, err := b.m.State()
	if err != nil || !state.LastSuccess["manual"].At.Equal(at) {
		t.Errorf("state %+v, %v", state, err)
	}
}
