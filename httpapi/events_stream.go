package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

func eventRoutes() []route {
	return []route{{method: http.MethodGet, path: "/events", right: RightView, stream: true, handle: (*Handler).events}}
}

// events streams what happens until the client goes, its session ends, or the server does.
func (h *Handler) events(w http.ResponseWriter, c *call) error {
	// Joined first, looked second: what happens in between comes as an event.
	l, err := h.hub.join()
	if err != nil {
		return err
	}
	defer h.hub.leave(l)
	s := &eventStream{w: w, control: http.NewResponseController(w)}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache, no-store, no-transform") // no proxy may compress it, and so hold it back
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	s.event("hello", hello{Revision: l.seen, Operations: h.ops.running()})
	if err := s.send(); err != nil {
		h.log.Debug("a client of events has gone", "error", oneLine(err.Error()))
		return nil
	}
	if err := h.stream(s, l, c); err != nil {
		h.log.Debug("a client of events has gone", "error", oneLine(err.Error()))
	}
	return nil
}

type hello struct {
	Revision   string      `json:"revision"`
	Operations []operation `json:"operations"`
}

type change struct {
	Revision string `json:"revision"`
}

type bye struct {
	Reason string `json:"reason"`
}

// stream delivers what waits for l, at most every pace.least.
func (h *Handler) stream(s *eventStream, l *listener, c *call) error {
	beat := time.NewTicker(h.hub.pace.beat)
	defer beat.Stop()
	rest := time.NewTimer(h.hub.pace.least)
	defer rest.Stop()
	var expired <-chan time.Time
	if !c.who.Expires.IsZero() {
		t := time.NewTimer(c.who.Expires.Sub(h.now()))
		defer t.Stop()
		expired = t.C
	}
	var wake <-chan struct{} // nil while it rests
	for {
		select {
		case <-c.Context().Done():
			return nil
		case <-rest.C:
			wake = l.wake
			continue
		case <-wake:
			b, err := l.take()
			if err != nil {
				return err
			}
			s.batch(b)
			if err := s.send(); err != nil || b.bye != "" {
				return err
			}
			wake = nil
			rest.Reset(h.hub.pace.least)
			continue
		case <-expired:
		case <-c.who.Ended:
		case <-beat.C:
			again := *c
			if h.authenticate(&again) == nil && again.who.May(RightView) {
				s.text.WriteString(": \n\n")
				if err := s.send(); err != nil {
					return err
				}
				continue
			}
		}
		s.event("bye", bye{"session"})
		return s.send()
	}
}

// eventStream writes events as the WHATWG's server-sent events are.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	text    bytes.Buffer // not yet sent
	err     error
}

func (s *eventStream) batch(b batch) {
	for _, op := range b.operations {
		s.event("operation", op)
	}
	if b.revision != nil {
		s.event("changed", change{*b.revision})
	}
	if b.captured != nil {
		s.event("captured", b.captured)
	}
	if b.bye != "" {
		s.event("bye", bye{b.bye})
	}
}

// event adds one. JSON has no line breaks, so its data is one line.
func (s *eventStream) event(name string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		s.err = errors.Join(s.err, err)
		return
	}
	fmt.Fprintf(&s.text, "event: %s\ndata: %s\n\n", name, raw)
}

// send writes what was added. A client that does not read in time is an error: the writer
// below has a deadline for every write.
func (s *eventStream) send() error {
	if s.err != nil {
		return s.err
	}
	if _, err := s.w.Write(s.text.Bytes()); err != nil {
		return err
	}
	s.text.Reset()
	return s.control.Flush()
}
