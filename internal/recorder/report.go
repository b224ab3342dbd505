package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/livedb"
)

// Kind says what an Event is about.
type Kind int

const (
	Captured Kind = iota // commits are in the log
	Began                // what is committed from now on is captured
	Gap                  // commits have one point together, for a Reason
	Refuted              // a proof failed: captures were not what the database was
	Anchored             // a proof succeeded
	Stopped              // nothing can be captured
	Resumed              // it can again
	Thinned              // points were removed before their time
	Rotted               // a sealed segment failed its proof
	Trouble              // Err was in the way of something that is tried again
)

// Event is what a recorder reports.
type Event struct {
	Kind    Kind
	Point   string // id; "" for none
	Message string
	Reason  string
	Err     error
	Damaged *catalog.DamagedSegment // of Rotted
}

// captured reports a capture.
func (r *Recorder) captured(out capture.Outcome, before capture.Source) {
	id := catalog.PointID(r.timeline, out.Capture.Seq)
	ev := Event{Kind: Captured, Point: id, Message: fmt.Sprintf("captured %s: %d pages of %d commits", id, out.Changed, out.Capture.Commits)}
	if out.Way == capture.Compared {
		ev.Message = fmt.Sprintf("captured %s: %d pages, by comparison", id, out.Changed)
		ev.Reason = cmp.Or(out.Reason, "there is no write-ahead log")
		if before.Log != nil && r.failing.IsZero() {
			r.o.Host.Report(Event{Kind: Gap, Point: id, Message: "some commits have one recovery point together", Reason: out.Reason})
		}
	}
	r.o.Host.Report(ev)
}

// outcome keeps whether captures work: one event at first, one when they stop, one when they go on.
func (r *Recorder) outcome(ctx context.Context, err error) {
	now := r.o.Now()
	switch {
	case err == nil:
		if r.stopped != nil {
			r.o.Host.Update("captures", func(s *catalog.State) { s.CapturesStopped = nil })
			r.o.Host.Report(Event{Kind: Resumed, Message: "commits are captured again", Reason: r.stopped.What})
		} else if !r.reported {
			r.o.Host.Report(Event{Kind: Began, Message: "captures are on: what is committed can be restored", Reason: fmt.Sprintf("looked at each %s, at most, while there are commits", cmp.Or(r.o.Settings().Every, time.Second))})
		}
		r.failing, r.stopped, r.reported = time.Time{}, nil, true
		return
	case ctx.Err() != nil, errors.Is(err, errWaiting), errors.Is(err, errSuspended), errors.Is(err, livedb.ErrMissing):
		return // the backups have their own word for it
	}
	if r.failing.IsZero() {
		r.failing = now
	}
	passes := livedb.Transient(err) || errors.Is(err, livedb.ErrBusy)
	if r.stopped != nil && r.reported || passes && now.Sub(r.failing) < quietFailure {
		return
	}
	stopped := catalog.CapturesStopped{At: r.failing.UTC(), Code: r.o.Host.Code(err), What: err.Error()}
	if r.stopped != nil { // in a process before this one
		stopped.At = r.stopped.At
	}
	r.stopped, r.reported = &stopped, true
	r.o.Host.Update("captures", func(s *catalog.State) { s.CapturesStopped = &stopped })
	r.o.Host.Report(Event{Kind: Stopped, Message: "commits are not captured; this is tried again by itself", Err: err})
}

// trouble reports an error that changes nothing for the caller.
func (r *Recorder) trouble(err error) {
	if err != nil {
		r.o.Host.Report(Event{Kind: Trouble, Message: "the change log needs another attempt", Err: err})
	}
}
