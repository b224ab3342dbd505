package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// If this fails, a store that is out of order is asked all the time, or is never asked again.
func TestRetry(t *testing.T) {
	busy, final := errors.New("busy"), errors.New("final")
	transient := func(err error) bool { return errors.Is(err, busy) }
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		retry := Retry{Heard: func(_ error, wait time.Duration) { waits = append(waits, wait) }}
		began, tries := time.Now(), 0
		err := retry.Do(t.Context(), transient, func(again bool) error {
			if again != (tries > 0) {
				t.Errorf("try %d: again is %v", tries, again)
			}
			if tries++; tries < 20 {
				return busy
			}
			return nil
		})
		if err != nil || tries != 20 || len(waits) != 19 {
			t.Errorf("%v after %d tries and %d waits", err, tries, len(waits))
		}
		var sum time.Duration
		for i, wait := range waits {
			sum += wait
			if most := min(lastWait, firstWait<<i); wait < most/2 || wait > most {
				t.Errorf("wait %d is %s, want %s to %s", i, wait, most/2, most)
			}
		}
		if took := time.Since(began); took != sum {
			t.Errorf("%s passed, the waits are %s", took, sum)
		}

		if err := retry.Do(t.Context(), transient, func(bool) error { return final }); err != final {
			t.Errorf("an error that is final: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began = time.Now()
		if err := retry.Do(ctx, transient, func(bool) error { return busy }); !errors.Is(err, busy) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("until the context ended: %v after %s", err, time.Since(began))
		}
		began = time.Now()
		patient := Retry{Patience: time.Minute}
		if err := patient.Do(t.Context(), transient, func(bool) error { return busy }); !errors.Is(err, busy) || time.Since(began) > time.Minute || time.Since(began) < 30*time.Second {
			t.Errorf("with a minute's patience: %v after %s", err, time.Since(began))
		}
		if err := retry.Do(ctx, transient, func(bool) error { t.Error("tried after the context ended"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the context ended: %v", err)
		}
	})
}

// If this fails, a service cannot be stopped while a file system hangs, or a source is read after its owner closed it.
func TestBounded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hang, ended := make(chan struct{}), make(chan error, 1)
	source, leave := Source(t.Context(), nil)
	_, err := Bounded(ctx, func() (int, error) {
		cancel()
		<-hang
		_, err := source.ReadAt(make([]byte, 1), 0) // would panic if it were read
		ended <- err
		return 0, err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a call that hangs: %v", err)
	}
	leave()
	close(hang)
	if err := <-ended; !IsSource(err) {
		t.Errorf("a source that was left: %v", err)
	}
	if n, err := Bounded(t.Context(), func() (int, error) { return 5, nil }); n != 5 || err != nil {
		t.Errorf("a call that returns: %d, %v", n, err)
	}
}
