package remote

import (
	"context"
	"reflect"
	"slices"
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

// Group are the senders of a service that is at work.
type Group struct {
	ctx      context.Context // of the senders
	cancel   context.CancelFunc
	revision func() (string, error)
	draining chan struct{}
	done     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	members map[string]*member
	looking bool
}

// member is a sender at work.
type member struct {
	*Sender
	stop context.CancelFunc
	over chan struct{} // closed when it has ended
}

// Start returns a group without senders, which ends with End. revision is a word that changes with the backup directory.
func Start(ctx context.Context, revision func() (string, error)) *Group {
	g := &Group{revision: revision, draining: make(chan struct{}), members: map[string]*member{}}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx)) // the shutdown backup is sent, too
	return g
}

// Set has the group send to these remotes and no others, each in a goroutine of its own. Senders that are at work with the same
// configuration go on; the others are stopped in the midst of what they send, which is sent again. One that ended by itself begins again.
func (g *Group) Set(all []Options) {
	g.abandon(g.replaced(all))
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range all {
		if g.members[o.Name] != nil {
			continue
		}
		ctx, stop := context.WithCancel(g.ctx)
		m := &member{Sender: New(o), stop: stop, over: make(chan struct{})}
		g.members[o.Name] = m
		g.done.Go(func() {
			defer close(m.over)
			m.Run(ctx, g.draining)
		})
	}
	if len(all) > 0 && !g.looking {
		g.looking = true
		g.done.Go(g.look)
	}
}

// replaced stops the senders that are to be none any more, or others.
func (g *Group) replaced(all []Options) (gone []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, m := range g.members {
		same := slices.ContainsFunc(all, func(o Options) bool { return o.Name == name && reflect.DeepEqual(o.As, m.o.As) })
		if !same || closed(m.over) {
			m.stop()
			delete(g.members, name)
			gone = append(gone, m)
		}
	}
	return gone
}

// abandon waits for senders that were stopped. Those whose stores never answer write nothing down any more.
func (g *Group) abandon(gone []*member) {
	timer := time.NewTimer(hungPatience)
	defer timer.Stop()
	for _, m := range gone {
		select {
		case <-m.over:
		case <-timer.C:
			timer.Reset(0) // the others have had their time, too
			m.abandoned.Store(true)
		}
	}
}

// Sync is that of the sender to the remote of that name; known is false where there is none.
func (g *Group) Sync(ctx context.Context, name string, moved func(done, total int64)) (known bool, err error) {
	g.mu.Lock()
	m := g.members[name]
	g.mu.Unlock()
	if m == nil {
		return false, nil
	}
	return true, m.Sync(ctx, moved)
}

// look notices what other processes do in the backup directory.
func (g *Group) look() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	seen, _ := g.revision() // an error is another revision
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.draining:
			return
		case <-tick.C:
		}
		if now, err := g.revision(); err == nil && now != seen {
			seen = now
			g.Changed()
		}
	}
}

// Changed has the senders look for what to send.
func (g *Group) Changed() { g.each((*Sender).Changed) }

// Captured has the senders seal and send, in a while, what was just captured.
func (g *Group) Captured() { g.each((*Sender).Captured) }

func (g *Group) each(do func(*Sender)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		do(m.Sender)
	}
}

// End sends what is left, for a while. A sender whose store never answers is left behind.
func (g *Group) End() {
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
