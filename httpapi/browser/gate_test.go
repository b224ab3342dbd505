package browser

import (
	"sync"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// gate stops operations where a test wants to look at them. It comes behind the
// handler's own subscription: everything that the page receives has been sent.
type gate struct {
	mu   sync.Mutex
	held map[string]chan struct{} // by operation and phase; closed to let it pass
	pace time.Duration            // what every step of progress takes longer
}

// hold stops the named operation in a phase, when half of it is done, until the returned function is called,
// and when the test ends.
func (g *gate) hold(t testing.TB, operation, phase string) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		g.held = map[string]chan struct{}{}
	}
	key, pass := operation+" "+phase, make(chan struct{})
	g.held[key] = pass
	release = sync.OnceFunc(func() {
		g.mu.Lock()
		delete(g.held, key)
		g.mu.Unlock()
		close(pass)
	})
	t.Cleanup(release)
	return release
}

// slow lets every step of progress take at least pace: a disk as slow as that.
func (g *gate) slow(pace time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace = pace
}

// pass is subscribed to the Manager, whose operation waits for it.
func (g *gate) pass(e snapshot.Event) {
	if e.Type != snapshot.EventProgress || e.Done == 0 { // there has to be something to see
		return
	}
	g.mu.Lock()
	held, pace := g.held[string(e.Operation)+" "+string(e.Phase)], g.pace
	g.mu.Unlock()
	if held != nil && 2*e.Done >= e.Total {
		<-held
	} else if pace > 0 {
		time.Sleep(pace)
	}
}
