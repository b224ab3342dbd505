package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"example.com/snapd/internal/activity"
	"example.com/snapd/internal/ratelimit"
)

// Options say what a Notifier works with.
type Options struct {
	Receivers []Receiver // as Named returns them
	Dir       string     // of the memory: the backup directory
	Log       *activity.Log
	// Look returns what stands now, and whether the service is at work. It may take a while, or never return.
	Look func(context.Context) (active []Condition, alive bool, err error)
	// Revision changes whenever something was done; asking is cheap.
	Revision func() (string, error)
	// Away reports whether Dir is not the directory that it was: the memory is not saved then.
	Away func() bool
	// Report is called when a receiver begins to fail, and with a nil error when it answers again.
	Report func(receiver string, err error)
	// Warn is called when the memory can not be read or saved, once each time.
	Warn func(err error)
}

// Notifier notifies receivers. Its Run is one goroutine, which owns the memory; attempts and looks have their own.
type Notifier struct {
	Options
	client *http.Client
	wake   chan struct{}

	looked chan sight
	ended  chan attempt

	since   time.Time // when the service began
	mem     memory
	dirty   bool
	unsaved bool // the last save failed, and that was said

	looking  bool
	again    bool      // something was done since the look under way began
	began    time.Time // of the last look
	revision string
	health   health
	runs     map[string]run  // of checks
	busy     map[string]bool // receivers with an attempt under way
	pace     map[string]*ratelimit.Bucket

	shown sync.Mutex // guards status
	state []Status
}

// Times of the executor.
const (
	poll         = 10 * time.Second // between two looks at the revision
	pauseAtLeast = time.Second      // between two looks that a wake asked for
	lookEvery    = 5 * time.Minute
	lookLimit    = 30 * time.Second // after which a look counts as failed
	farewell     = time.Second      // for what is to be reported at the end
	recently     = time.Hour        // what is reported of the log where there is no memory of it
)

// errSlow is the outcome of a look that does not return.
var errSlow = fmt.Errorf("the state of the protection could not be determined within %s", lookLimit)

// New returns a Notifier, which does nothing before Run.
func New(o Options) *Notifier {
	n := &Notifier{Options: o, client: newClient(), wake: make(chan struct{}, 1), looked: make(chan sight, 1), ended: make(chan attempt, len(o.Receivers)),
		since: time.Now(), busy: map[string]bool{}, runs: map[string]run{}, pace: map[string]*ratelimit.Bucket{}}
	for _, r := range o.Receivers {
		n.pace[r.Name] = &ratelimit.Bucket{}
	}
	return n
}

// Wake has Run look soon.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default: // it will
	}
}

// Run notifies the receivers until ctx ends; then it looks once more, and gives what is to be reported a second.
func (n *Notifier) Run(ctx context.Context) {
	n.remember()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	n.look(work, true)
	for ctx.Err() == nil {
		n.deliver(work)
		timer := time.NewTimer(n.wait())
		select {
		case <-ctx.Done():
		case <-n.wake:
			n.pause(ctx)
			n.look(work, true)
		case s := <-n.looked:
			n.take(work, s)
		case a := <-n.ended:
			n.took(a)
		case <-timer.C:
			n.overdue()
			n.look(work, n.must(time.Now()))
		}
		timer.Stop()
	}
	n.sayFarewell(work)
	cancel()
	for len(n.busyNow()) > 0 {
		n.took(<-n.ended)
	}
	n.client.CloseIdleConnections()
}

// pause waits until some time has passed since the last look: events come in groups.
func (n *Notifier) pause(ctx context.Context) {
	rest := time.NewTimer(min(pauseAtLeast, max(0, pauseAtLeast-time.Since(n.began))))
	defer rest.Stop()
	select {
	case <-ctx.Done():
	case <-rest.C:
	}
}

// sayFarewell reports what the end of the service has brought.
func (n *Notifier) sayFarewell(ctx context.Context) {
	over := time.NewTimer(farewell)
	defer over.Stop()
	n.look(ctx, true)
	for n.looking || len(n.busyNow()) > 0 {
		select {
		case s := <-n.looked:
			n.take(ctx, s)
			n.deliver(ctx)
		case a := <-n.ended:
			n.took(a)
		case <-over.C:
			return
		}
	}
}

func (n *Notifier) busyNow() []string { return slices.Sorted(maps.Keys(n.busy)) }

// remember loads the memory and fits it to the receivers.
func (n *Notifier) remember() {
	mem, fresh, err := load(n.Dir)
	if err != nil {
		n.Warn(err)
	}
	n.mem = mem
	if fresh {
		n.mem.Position = ""
	}
	now := time.Now()
	for _, r := range n.Receivers {
		if o := n.mem.Receivers[r.Name]; o == nil {
			n.mem.welcome(r, now)
		} else if o.Tried.After(now) || o.Retry.After(now.Add(lastRetry)) { // the clock went back
			o.Tried, o.Retry = time.Time{}, time.Time{}
		}
		o := n.mem.Receivers[r.Name]
		o.Way, o.Target = r.Way(), r.Target()
		o.Waiting = slices.DeleteFunc(o.Waiting, func(m Message) bool { return !r.Wants(m.Kind) })
	}
	maps.DeleteFunc(n.mem.Receivers, func(name string, _ *outbox) bool { return n.receiver(name) == nil })
	n.dirty = true
	n.show()
}

func (n *Notifier) receiver(name string) *Receiver {
	if i := slices.IndexFunc(n.Receivers, func(r Receiver) bool { return r.Name == name }); i >= 0 {
		return &n.Receivers[i]
	}
	return nil
}

// save saves the memory where it changed.
func (n *Notifier) save() {
	if !n.dirty || n.Away() {
		return
	}
	err := n.mem.save(n.Dir)
	n.dirty = err != nil
	if err != nil && !n.unsaved {
		n.Warn(err)
	}
	n.unsaved = err != nil
}

// sight is what a look saw.
type sight struct {
	Facts
	revision string
	same     bool // nothing was done since the last look, and none was needed
}

// must reports whether a look is due although nothing was done.
func (n *Notifier) must(now time.Time) bool {
	at := n.health.facts.Now.Add(lookEvery)
	if next := n.mem.next(); !next.IsZero() && next.Before(at) {
		at = next
	}
	for _, r := range n.Receivers {
		if r.Way() != wayPing || n.busy[r.Name] {
			continue
		}
		if next := n.pingDue(r); next.Before(at) {
			at = next
		}
	}
	return !now.Before(at)
}

// pingDue is when a look is due for a check. Where the last one brought no ping, as while there is trouble that was reported
// already, the next one is soon enough in a minute.
func (n *Notifier) pingDue(r Receiver) time.Time {
	o := n.mem.Receivers[r.Name]
	due, last := o.Pinged.At.Add(heartbeat), n.health.facts.Now
	if o.Failing > 0 {
		due = o.Retry
	}
	switch {
	case n.runs[r.Name].rid != "", n.health.ping(r, o.Pinged, run{}, last).What != "": // what the pace held back
		return last.Add(poll)
	case !due.After(last):
		return last.Add(apart)
	}
	return due
}

// look looks in a goroutine; unless it must, only where something was done.
func (n *Notifier) look(ctx context.Context, must bool) {
	if n.looking {
		n.again = n.again || must
		return
	}
	n.looking, n.began = true, time.Now()
	known, position := n.revision, n.mem.Position
	go func() { n.looked <- n.see(ctx, must, known, position) }() // ends with Look
}

func (n *Notifier) see(ctx context.Context, must bool, known, position string) sight {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	revision, err := n.Revision()
	if err == nil && !must && revision == known {
		return sight{same: true}
	}
	s := sight{revision: revision}
	var since time.Time
	if position == "" {
		since = time.Now().Add(-recently)
	}
	wanted := func(r activity.Record) bool { return !r.At.Before(since) && relevant(r) }
	records, next, err := n.Log.After(position, wanted)
	if errors.Is(err, activity.ErrCursor) {
		records, next, err = n.Log.After("", wanted)
	}
	s.Entries, s.Position = records, next
	active, alive, lerr := n.Look(ctx)
	s.Now, s.Active, s.Alive, s.Err = time.Now(), active, alive, errors.Join(lerr, err)
	return s
}

// take decides from what a look found.
func (n *Notifier) take(ctx context.Context, s sight) {
	n.looking = false
	if !s.same {
		n.revision = s.revision
		n.decide(s.Facts)
	}
	if n.again { // what that one saw may be from before
		n.again = false
		n.look(ctx, true)
	}
}

// overdue decides without a look that does not return.
func (n *Notifier) overdue() {
	if now := time.Now(); n.looking && now.Sub(n.began) > lookLimit {
		n.decide(Facts{Now: now, Err: errSlow})
	}
}

// decide puts what is to be reported into the outboxes.
func (n *Notifier) decide(f Facts) {
	was := n.mem
	next, messages := decide(n.mem, f)
	n.mem = next
	n.dirty = n.dirty || len(messages) > 0 || len(f.Entries) > 0 || !maps.Equal(was.Active, next.Active)
	for _, m := range messages {
		for _, r := range n.Receivers {
			if r.Way() != wayPing && r.Wants(m.Kind) {
				n.mem.Receivers[r.Name].put(m)
			}
		}
	}
	n.health.facts, n.health.active = f, n.mem.Active
	for _, r := range n.Receivers {
		n.runs[r.Name] = n.runs[r.Name].after(n.since, f.Entries)
	}
	n.show()
}
