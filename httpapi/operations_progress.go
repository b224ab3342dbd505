package httpapi

import (
	"math"
	"time"

	"example.com/snapd/snapshot"
)

// progress notes what ev says of the phase.
func (r *run) progress(ev snapshot.Event, now time.Time) {
	if ev.Phase != r.op.Phase {
		r.op.Phase = ev.Phase
		r.speed = speedometer{}
	}
	if ev.Phase == snapshot.PhaseCommit {
		r.committed, r.op.Cancellable = true, false
	}
	r.op.DoneBytes, r.op.TotalBytes = ev.Done, ev.Total
	r.op.Rate, r.op.ETA = r.speed.read(now, ev.Done, ev.Total)
}

// speedometer smooths the speed of a phase. Its zero value is at rest.
type speedometer struct {
	at   time.Time
	done int64
	rate float64 // bytes per second; 0 not yet known
}

// The speed is an average that forgets with a time constant of smoothing; a sample
// is taken every gap at most, for shorter ones say little.
const (
	smoothing = 3 * time.Second
	gap       = 250 * time.Millisecond
	farthest  = 30 * 24 * time.Hour // an estimate beyond is none
)

// read takes the sample and returns bytes per second and the seconds left, nil where
// they are not known.
func (s *speedometer) read(now time.Time, done, total int64) (rate, eta *int64) {
	switch passed := now.Sub(s.at); {
	case s.at.IsZero() || done < s.done || passed < 0:
		*s = speedometer{at: now, done: done}
	case passed >= gap:
		sample := float64(done-s.done) / passed.Seconds()
		if s.rate == 0 {
			s.rate = sample
		} else {
			s.rate += (sample - s.rate) * (1 - math.Exp(-passed.Seconds()/smoothing.Seconds()))
		}
		s.at, s.done = now, done
	}
	if s.rate < 1 {
		return nil, nil
	}
	bps := int64(s.rate)
	if left := float64(max(0, total-done)) / s.rate; total > 0 && left < farthest.Seconds() {
		seconds := int64(math.Ceil(left))
		eta = &seconds
	}
	return &bps, eta
}
