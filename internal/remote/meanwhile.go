package remote

import (
	"context"
	"errors"
	"time"
)

// A large backup takes hours to send, and to read back. What a loss of the machine costs must not grow with that:
//
//	transfer of a backup  ────────────────────────────────────────────────▶ ends
//	                         │ a segment is sealed, each pace at most   ▲
//	                         └▶ may this one still write? ─▶ it is sent │ another writes there: it is ended
//
// The bandwidth limit is that of the remote, for both together.

// lookEach is how often it is asked, next to a transfer, whether something was captured.
const lookEach = time.Second

// transfer moves an object of an item. Next to a backup, what is captured is sent.
func (s *Sender) transfer(ctx context.Context, i Item, move func(context.Context) error) error {
	if i.Entry == nil {
		return move(ctx)
	}
	return s.meanwhile(ctx, move)
}

// meanwhile returns what move does, and sends next to it what is captured. Another writer ends it.
func (s *Sender) meanwhile(ctx context.Context, move func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	over := make(chan error, 1)
	go func() { over <- move(ctx) }()
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	var again time.Time // after a failure
	draining, waiting, failures := s.draining, false, 0
	for {
		ending := false
		select {
		case err := <-over:
			return err
		case <-draining:
			draining, ending = nil, true
		case <-tick.C:
		}
		if !ending && s.o.Now().Before(again) {
			continue
		}
		sealed, err := s.sealCaptured(ending)
		if waiting = waiting || sealed; waiting && err == nil {
			err = s.sendFollowing(ctx)
		}
		switch {
		case stops(err):
			stop(err)
			<-over
			return err
		case err != nil && ctx.Err() == nil:
			failures++
			again = s.o.Now().Add(retryAfter(failures))
			s.trouble(err)
		case err == nil && waiting:
			waiting, failures = false, 0
			s.works()
		}
	}
}

// sealCaptured seals what was captured a pace ago, or at once, and reports whether it did.
func (s *Sender) sealCaptured(atOnce bool) (sealed bool, err error) {
	if since := s.takeCaptured(); s.captured.IsZero() {
		s.captured = since
	}
	if s.captured.IsZero() || !atOnce && s.o.Now().Sub(s.captured).Abs() < pace {
		return false, nil
	}
	if err := s.o.Host.Seal(); err != nil {
		return false, err
	}
	s.captured = time.Time{}
	return true, nil
}

// sendFollowing sends the segments that follow the newest state that is there.
func (s *Sender) sendFollowing(ctx context.Context) error {
	local, err := s.notOlder(ctx, s.ledger.names())
	if err != nil {
		return err
	}
	for _, i := range Decide(local, s.ledger.Copies, s.rules()).Send {
		if i.rank != rankFollows {
			continue
		}
		if err := s.checkClaim(ctx); err != nil {
			return err
		}
		if err := s.send(ctx, i, nil); err != nil && !errors.Is(err, errUnsendable) { // that one is looked at after the transfer
			return err
		}
	}
	return nil
}
