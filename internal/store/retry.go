package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// The waits between two tries grow from the first to the last.
const (
	firstWait = 200 * time.Millisecond
	lastWait  = 30 * time.Second
)

// Retry is how an implementation tries again what its protocol calls transient.
type Retry struct {
	// Heard is called with each failure that is tried again, and when; nil for none.
	Heard func(err error, wait time.Duration)
	// Patience is how long failures are tried again, without a success in between; 0 is until ctx ends.
	Patience time.Duration
	// First is the wait before the second try; 0 is what is right for a server far away.
	First time.Duration
}

// Do calls try until it succeeds, its error is not transient, patience is at its end, or ctx ends, whose error then comes with the last one of try. again
// says that an earlier try failed, and may have taken effect all the same.
func (r Retry) Do(ctx context.Context, transient func(error) bool, try func(again bool) error) error {
	if r.First == 0 {
		r.First = firstWait
	}
	began := time.Now()
	for n := 0; ; n++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err := try(n > 0)
		if err == nil {
			return nil
		}
		if ended := context.Cause(ctx); ended != nil {
			return fmt.Errorf("%w: %w", ended, err)
		}
		if !transient(err) {
			return err
		}
		wait := min(lastWait, r.First<<min(n, 20))
		wait = wait/2 + rand.N(wait/2+1)
		if r.Patience > 0 && time.Since(began)+wait > r.Patience {
			return fmt.Errorf("after %d tries: %w", n+1, err)
		}
		if r.Heard != nil {
			r.Heard(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w after %d tries: %w", context.Cause(ctx), n+1, err)
		}
	}
}

// Bounded returns what f does, or the error of ctx once that ended: a call to a file system whose server is gone may never
// return. f goes on then, and what it returns is lost.
func Bounded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	var none T
	if err := context.Cause(ctx); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := f()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}
