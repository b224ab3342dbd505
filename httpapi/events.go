package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

// hub hands what happens to the clients of /events. While there are none it does
// nothing: no timer, no goroutine.
type hub struct {
	revision func() (string, error)
	summary  func(context.Context) string // of the status, which changes with it
	pace     pace

	clients sync.WaitGroup // Add under mu, and never once closed is set
	dirty   chan struct{}  // holds at most one notice that something may have changed

	mu     sync.Mutex // guards what follows
	all    map[*listener]struct{}
	quit   context.CancelFunc // ends the poller; nil while there is no listener
	closed bool
}

// pace holds the times of the events. Tests have faster ones.
type pace struct {
	least    time.Duration // between two deliveries to one client
	debounce time.Duration // from something that happened to asking what changed
	poll     time.Duration // between two looks at what other processes did
	status   time.Duration // between two looks at the status
	beat     time.Duration // between two signs of life
}

var usualPace = pace{least: 200 * time.Millisecond, debounce: 100 * time.Millisecond, poll: 2 * time.Second,
	status: 30 * time.Second, beat: 15 * time.Second}

// Limits of /events.
const (
	maxListeners = 1000
	maxPending   = 256 // operations that wait for one client; it does not read, then
)

func newHub(revision func() (string, error), summary func(context.Context) string) *hub {
	return &hub{revision: revision, summary: summary, pace: usualPace, dirty: make(chan struct{}, 1), all: make(map[*listener]struct{})}
}

// listener is one reader. What waits for it is the latest state of each operation, in
// the order of their first change, and the latest revision.
type listener struct {
	wake chan struct{} // holds at most one notice that something waits

	mu       sync.Mutex // guards what follows
	order    []string
	latest   map[string]operation
	revision *string   // nil: nothing new
	captured *captured // the newest one; nil: nothing new
	seen     string    // the revision that it knows, or will
	bye      string
	dropped  bool
}

var errListeners = fail(http.StatusServiceUnavailable, "unavailable", "too many clients listen already", "try again later")

// join adds a client, which knows the present revision. It must leave.
func (b *hub) join() (*listener, error) {
	now, err := b.revision()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, fail(http.StatusServiceUnavailable, "unavailable", "the server is closing down", "try again when it is back")
	}
	if len(b.all) >= maxListeners {
		return nil, errListeners
	}
	c := &listener{wake: make(chan struct{}, 1), latest: make(map[string]operation), seen: now}
	b.all[c] = struct{}{}
	b.clients.Add(1)
	if b.quit == nil {
		var ctx context.Context
		ctx, b.quit = context.WithCancel(context.Background())
		b.clients.Go(func() { b.watch(ctx) })
	}
	return c, nil
}

func (b *hub) leave(c *listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, c)
	if len(b.all) == 0 && b.quit != nil {
		b.quit()
		b.quit = nil
	}
	b.clients.Done()
}

// count is how many clients listen.
func (b *hub) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.all)
}

// publish sends every client the state of op. It never waits.
func (b *hub) publish(op operation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.all {
		c.put(op)
	}
}

// captured sends every client the newest recovery point of the change log. It never waits.
func (b *hub) captured(p captured) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.all {
		c.capture(p)
	}
}

// changed makes the poller send the revision soon, if it is another one. It never waits.
func (b *hub) changed() {
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

// close says goodbye to all and waits until they have gone, or ctx ends.
func (b *hub) close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	for c := range b.all {
		c.leave("shutdown")
	}
	b.mu.Unlock()
	return wait(ctx, &b.clients)
}

// watch looks for changes until ctx ends, with the last client.
func (b *hub) watch(ctx context.Context) {
	poll, status := time.NewTicker(b.pace.poll), time.NewTicker(b.pace.status)
	defer poll.Stop()
	defer status.Stop()
	summary := b.summary(ctx)
	for {
		another := false
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-status.C:
			now := b.summary(ctx)
			another, summary = now != summary, now
		case <-b.dirty:
			select { // what belongs together comes together
			case <-ctx.Done():
				return
			case <-time.After(b.pace.debounce):
			}
		}
		b.announce(another)
	}
}

// announce sends the present revision to every client that knows another one, and to all
// clients where always is set.
func (b *hub) announce(always bool) {
	now, err := b.revision()
	if err != nil {
		return // a request for the data gets the error
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.all {
		c.change(now, always)
	}
}

func (c *listener) put(op operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waits := c.latest[op.ID]; !waits {
		if len(c.order) >= maxPending {
			c.dropped = true
		} else {
			c.order = append(c.order, op.ID)
		}
	}
	if !c.dropped {
		c.latest[op.ID] = op
	}
	c.notify()
}

func (c *listener) change(revision string, always bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision != c.seen || always {
		c.seen, c.revision = revision, &revision
		c.notify()
	}
}

func (c *listener) capture(p captured) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.captured = &p
	c.notify()
}

func (c *listener) leave(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bye == "" {
		c.bye = reason
	}
	c.notify()
}

func (c *listener) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

var errDropped = errors.New("the client does not read")

// batch is what waits for a client.
type batch struct {
	operations []operation
	revision   *string
	captured   *captured
	bye        string
}

// take empties what waits. Errors: errDropped.
func (c *listener) take() (batch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped {
		return batch{}, errDropped
	}
	b := batch{revision: c.revision, captured: c.captured, bye: c.bye, operations: make([]operation, 0, len(c.order))}
	for _, id := range c.order {
		b.operations = append(b.operations, c.latest[id])
	}
	clear(c.latest)
	c.order, c.revision, c.captured = slices.Delete(c.order, 0, len(c.order)), nil, nil
	return b, nil
}
