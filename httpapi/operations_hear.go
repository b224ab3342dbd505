package httpapi

import (
	"cmp"
	"context"
	"math"
	"runtime/debug"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

// hear takes one of the Manager's events. It is called from within the Manager's
// work, so it neither waits nor calls it, and no fault of ours may get out.
func (o *operations) hear(ev snapshot.Event) {
	defer func() {
		if v := recover(); v != nil {
			o.log.Error("panic over an event", "event", string(ev.Type), "panic", v, "stack", string(debug.Stack()))
		}
	}()
	o.note(ev)
	if ev.Type != snapshot.EventProgress {
		o.changed()
	}
}

func (o *operations) note(ev snapshot.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.follow(ev); r != nil && !r.ending {
		o.publish(r.op) // under mu: what was true earlier must not be told later
	}
}

// follow brings the operation that ev is of up to date and returns it; nil for none.
// The caller holds mu.
func (o *operations) follow(ev snapshot.Event) *run {
	r := o.runOf(ev)
	if r == nil {
		return nil
	}
	r.heard = o.now()
	if r.cancel == nil && endsObserved(r, ev) {
		o.endObserved(r, ev)
		return r
	}
	if ev.Operation == r.op.Kind {
		if ev.Trigger != "" {
			r.op.Trigger = ev.Trigger
		}
		r.names(ev.Backup)
	}
	if ev.Type == snapshot.EventProgress {
		r.progress(ev, r.heard)
	}
	return r
}

// names notes which backup r is about; "" says nothing.
func (r *run) names(backup string) {
	if backup != "" && deref(r.op.Backup) != backup {
		r.op.Backup = &backup
	}
}

// progress notes what ev says of the phase.
func (r *run) progress(ev snapshot.Event, now time.Time) {
	if ev.Phase != r.op.Phase {
		r.op.Phase = ev.Phase
		r.speed = speedometer{}
	}
	if ev.Phase == phaseCommit {
		r.past, r.op.Cancellable = true, false
	}
	r.op.DoneBytes, r.op.TotalBytes = ev.Done, ev.Total
	r.op.Rate, r.op.ETA = r.speed.read(now, ev.Done, ev.Total)
}

// runOf returns the operation that ev belongs to, which may begin with it. An event
// without Run, or with a stranger's, is of what the schedule, the host or recovery
// does: one thing at a time, for it holds the operation lock.
func (o *operations) runOf(ev snapshot.Event) *run {
	var observed *run
	for _, r := range o.runs {
		if r.ending {
			continue
		}
		if r.cancel != nil {
			if r.caller == ev.Run {
				return r
			}
			continue
		}
		if r.caller == ev.Run && (r.op.Kind == ev.Operation || inside(r, ev)) {
			observed = r
		}
	}
	if _, known := rightOf[ev.Operation]; !known || ev.Type != snapshot.EventStarted || observed != nil && observed.op.Kind != ev.Operation {
		return observed
	}
	if observed != nil { // it begins anew, so the one before had ended without a word
		observed.op.Error = interrupted(observed.op.Kind)
		o.retire(observed, stateFailed)
	}
	return o.beginObserved(ev)
}

// inside reports whether ev is of a part of r: the safety backup of a restore, the
// proof of what is restored, a recovery that restores.
func inside(r *run, ev snapshot.Event) bool {
	switch r.op.Kind {
	case kindRestore:
		return ev.Operation == kindVerify || ev.Operation == kindCheck || ev.Operation == kindBackup && ev.Trigger == string(catalog.TriggerPreRestore)
	case kindRecover:
		return ev.Operation == kindRestore || ev.Operation == kindVerify || ev.Operation == kindCheck
	}
	return false
}

func (o *operations) beginObserved(ev snapshot.Event) *run {
	if o.closing {
		return nil // nobody is there any more to note its end
	}
	who := ev.Who
	if who == "" {
		who = automatic
	}
	r := &run{caller: ev.Run, heard: o.now(), op: operation{ID: cmp.Or(ev.Run, newID()), Kind: ev.Operation, State: stateRunning, StartedAt: o.now(), Who: clip(who), Trigger: ev.Trigger}}
	o.runs = append(o.runs, r)
	o.working.Go(o.save)
	return r
}

// endsObserved reports whether ev is the last one of r.
func endsObserved(r *run, ev snapshot.Event) bool {
	return ev.Ends() && ev.Operation == r.op.Kind
}

// endObserved ends r by ev. What it made is looked up later: the Manager may not be
// called from here. The caller holds mu.
func (o *operations) endObserved(r *run, ev snapshot.Event) {
	r.names(ev.Backup)
	if o.closing {
		return // the next start finds out
	}
	r.ending = true
	o.working.Go(func() {
		var result any
		if id := deref(r.op.Backup); ev.Err == nil && id != "" && (r.op.Kind == kindBackup || r.op.Kind == kindVerify) {
			if b, err := o.m.Find(id); err == nil {
				result = showBackup(b)
			}
		}
		o.finishObserved(r, result, ev.Err)
	})
}

func (o *operations) finishObserved(r *run, result any, err error) {
	ctx := context.Background()
	if snapshot.Code(err) == "cancelled" {
		o.mu.Lock()
		r.by = r.op.Who
		o.mu.Unlock()
	}
	o.finish(ctx, r, result, err)
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
