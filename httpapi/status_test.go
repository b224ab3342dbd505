package httpapi

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/snapd/snapshot"
)

// Lost if this fails: a database that is looked at 200 times because 200 people look
// at the page; or a page that says "protected" a moment after that ended.
func TestStatusIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		s := &statusCache{now: time.Now, base: t.Context(), ask: func(ctx context.Context) (snapshot.Status, error) {
			n := asked.Add(1)
			time.Sleep(500 * time.Millisecond)
			return snapshot.Status{Database: snapshot.DatabaseStatus{Bytes: n}}, ctx.Err()
		}}
		get := func() int64 {
			t.Helper()
			st, err := s.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return st.Database.Bytes
		}
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() { get() })
		}
		group.Wait()
		if get(); asked.Load() != 1 {
			t.Errorf("asked %d times for 201", asked.Load())
		}
		time.Sleep(statusLife)
		if got := get(); got != 2 {
			t.Errorf("after its life: answer %d", got)
		}
		s.forget()
		if got := get(); got != 3 {
			t.Errorf("after something happened: answer %d", got)
		}
		// Something happens while the question is on its way: who asks afterwards
		// must not get what was true before.
		time.Sleep(statusLife)
		group.Go(func() { get() })
		synctest.Wait()
		s.forget()
		if got := get(); got != 5 {
			t.Errorf("asked after it happened: answer %d", got)
		}
		group.Wait()
		if got := get(); got != 5 {
			t.Errorf("an old answer was kept: %d", got)
		}
	})
}

// Lost: the answer of every client, because the first one has gone.
func TestStatusOutlivesTheFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &statusCache{now: time.Now, base: t.Context(), ask: func(ctx context.Context) (snapshot.Status, error) {
			select {
			case <-time.After(time.Second):
				return snapshot.Status{Reason: "x"}, nil
			case <-ctx.Done():
				return snapshot.Status{}, ctx.Err()
			}
		}}
		first, gone := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := s.get(first); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who has gone: %v", err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if st, err := s.get(t.Context()); err != nil || st.Reason != "x" {
				t.Errorf("the other one: %+v, %v", st, err)
			}
		})
		synctest.Wait()
		gone()
		group.Wait()
	})
}
