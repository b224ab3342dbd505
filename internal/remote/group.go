package remote

import (
	"context"
	"sync"
	"time"
)

const (
	// lookEvery is how often the backup directory is looked at for what other processes did there.
	lookEvery = 30 * time.Second
	// drainPatience is how long a group goes on sending after its end: a container is killed ten seconds after it was asked to stop.
	drainPatience = 5 * time.Second
	// hungPatience is for a store to notice that its time is over. A disk whose server is gone may never do.
	hungPatience = time.Second
)

// Group are the senders of a service that is at work. A nil one sends nothing.
type Group struct {
	senders  []*Sender
	draining chan struct{}
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

// Start runs senders, each in a goroutine of its own, until End. revision is a word that changes with the backup directory.
func Start(ctx context.Context, all []Options, revision func() (string, error)) *Group {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the shutdown backup is sent, too
	g := &Group{draining: make(chan struct{}), cancel: cancel}
	for _, o := range all {
		s := New(o)
		g.senders = append(g.senders, s)
		g.done.Go(func() { s.Run(ctx, g.draining) })
	}
	g.done.Go(func() { g.look(ctx, revision) })
	return g
}

// look notices what other processes do in the backup directory.
func (g *Group) look(ctx context.Context, revision func() (string, error)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	seen, _ := revision() // an error is another revision
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.draining:
			return
		case <-tick.C:
		}
		if now, err := revision(); err == nil && now != seen {
			seen = now
			g.Changed()
		}
	}
}

// Changed has the senders look for what to send.
func (g *Group) Changed() {
	for _, s := range g.senders {
		s.Changed()
	}
}

// Captured has the senders seal and send, in a while, what was just captured.
func (g *Group) Captured() {
	for _, s := range g.senders {
		s.Captured()
	}
}

// End sends what is left, for a while. A sender whose store never answers is left behind.
func (g *Group) End() {
	if g == nil {
		return
	}
	close(g.draining)
	defer g.cancel()
	done := make(chan struct{})
	go func() { g.done.Wait(); close(done) }()
	for _, patience := range []time.Duration{drainPatience, hungPatience} {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-done:
			return
		case <-timer.C:
			g.cancel()
		}
	}
}
