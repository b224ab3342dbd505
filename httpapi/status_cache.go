package httpapi

import (
	"context"
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

// statusCache computes the status, which reads the live database, once for all requests of the
// same second, and again after something happened.
type statusCache struct {
	ask  func(context.Context) (snapshot.Status, error)
	now  func() time.Time
	base context.Context // of a fetch, which no single request owns

	mu      sync.Mutex   // guards what follows
	era     uint64       // counts what happened
	current *statusFetch // under way; nil for none
	last    *statusFetch // successful, and of this era
}

// statusFetch is one computation. Once done is closed, nothing in it changes.
type statusFetch struct {
	era    uint64
	done   chan struct{}
	status snapshot.Status
	err    error
	at     time.Time // of the result
}

// statusLife is how long a result is good while nothing happens; statusTimeout bounds a fetch.
const (
	statusLife    = time.Second
	statusTimeout = 30 * time.Second
)

// get returns a status that is at most a second old.
func (s *statusCache) get(ctx context.Context) (snapshot.Status, error) {
	f := s.join()
	select {
	case <-f.done:
		return f.status, f.err
	case <-ctx.Done():
		return snapshot.Status{}, ctx.Err()
	}
}

// getNow is get outside a request.
func (s *statusCache) getNow() (snapshot.Status, error) {
	ctx, cancel := context.WithTimeout(s.base, statusTimeout)
	defer cancel()
	return s.get(ctx)
}

// join returns the last result, the fetch under way, or a new one.
func (s *statusCache) join() *statusFetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := s.age(); s.last != nil && age >= 0 && age < statusLife {
		return s.last
	}
	if s.current == nil || s.current.era != s.era {
		f := &statusFetch{era: s.era, done: make(chan struct{})}
		s.current = f
		go s.fetch(f) // ends within statusTimeout, or with base
	}
	return s.current
}

func (s *statusCache) age() time.Duration {
	if s.last == nil {
		return 0
	}
	return s.now().Sub(s.last.at)
}

func (s *statusCache) fetch(f *statusFetch) {
	ctx, cancel := context.WithTimeout(s.base, statusTimeout)
	defer cancel()
	defer close(f.done)
	f.status, f.err = s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.at = s.now()
	if s.current == f {
		s.current = nil
	}
	if f.err == nil && f.era == s.era {
		s.last = f
	}
}

// forget makes the next request compute the status. It waits for nothing.
func (s *statusCache) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.era++
	s.last = nil
}

// summary changes with what the page shows at a glance.
func (s *statusCache) summary(ctx context.Context) string {
	st, err := s.get(ctx)
	if err != nil {
		return "unknown"
	}
	word := string(st.State) + " " + string(st.Code) + " " + string(st.Continuous.State) // without the reason, which has the age in it
	if st.Break != nil {
		word += " " + string(st.Break.Cause) + " " + st.Break.At.String()
	}
	return word
}
