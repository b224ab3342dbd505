package httpapi

import (
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

// captures count what the Manager's change log took in since this program began.
type captures struct {
	mu   sync.Mutex
	seen captureCounts
}

type captureCounts struct {
	followed, compared, gaps int64
}

// captured is the newest recovery point of the change log, for who looks at the page.
type captured struct {
	Point string    `json:"point"`
	At    time.Time `json:"at"`
}

// logEvent reports whether ev is of the change log in ordinary work. There can be several each second: they do not make
// the status be computed again, or what is listed be fetched.
func logEvent(ev snapshot.Event) bool {
	return ev.Type == snapshot.EventCaptured || ev.Type == snapshot.EventAnchored || isGapEvent(ev) && ev.Err == nil
}

// isGapEvent reports whether commits have one recovery point together.
func isGapEvent(ev snapshot.Event) bool { return ev.Type == snapshot.EventChainGap && ev.Point != "" }

// hear counts ev, and passes the newest point on. It waits for nothing.
func (c *captures) hear(ev snapshot.Event, announce func(captured)) {
	switch {
	case ev.Type == snapshot.EventCaptured:
		c.count(func(n *captureCounts) {
			if ev.Reason == "" {
				n.followed++
			} else { // why the write-ahead log did not have it
				n.compared++
			}
		})
		announce(captured{ev.Point, ev.At.UTC()})
	case isGapEvent(ev):
		c.count(func(n *captureCounts) { n.gaps++ })
	}
}

func (c *captures) count(change func(*captureCounts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.seen)
}

// counts returns what was counted.
func (c *captures) counts() captureCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}
