package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"example.com/snapd/snapshot"
)

func statusRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/status", right: RightView, handle: (*Handler).getStatus},
		{method: http.MethodGet, path: "/stats", right: RightView, handle: (*Handler).getStats},
		{method: http.MethodGet, path: "/history", right: RightView, handle: (*Handler).getHistory},
		{method: http.MethodGet, path: "/retention-plan", right: RightView, handle: (*Handler).getRetentionPlan},
		{method: http.MethodGet, path: "/healthz", root: true, handle: (*Handler).healthz},
		{method: http.MethodGet, path: "/readyz", root: true, handle: (*Handler).readyz},
	}
}

func (h *Handler) getStatus(w http.ResponseWriter, c *call) error {
	if err := noQuery(c); err != nil {
		return err
	}
	s, err := h.status.get(c.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s)
}

func (h *Handler) getStats(w http.ResponseWriter, c *call) error {
	if err := noQuery(c); err != nil {
		return err
	}
	revision, err := h.m.Revision()
	if err != nil {
		return err
	}
	s, err := h.m.Stats()
	if err != nil {
		return err
	}
	if fresh(w, c, hashOf(revision)) {
		return nil
	}
	return writeJSON(w, http.StatusOK, s)
}

// Days of the history.
const (
	defaultDays = 30
	maxDays     = 366
)

type historyDocument struct {
	Days []snapshot.Day `json:"days"`
}

func (h *Handler) getHistory(w http.ResponseWriter, c *call) error {
	values, err := query(c, "days")
	if err != nil {
		return err
	}
	days, err := number(values, "days", defaultDays, maxDays)
	if err != nil {
		return err
	}
	all, err := h.m.History(days)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, historyDocument{notNull(all)})
}

type decisionDocument struct {
	Decisions []snapshot.Decision `json:"decisions"`
}

func (h *Handler) getRetentionPlan(w http.ResponseWriter, c *call) error {
	if err := noQuery(c); err != nil {
		return err
	}
	all, err := h.m.PlanPrune(nil)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, decisionDocument{notNull(all)})
}

// notNull is an empty list in JSON where there is nothing.
func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// healthz tells that the process answers.
func (h *Handler) healthz(w http.ResponseWriter, _ *call) error {
	return writePlain(w, http.StatusOK, "ok\n")
}

// readyz is 503 while the data is unprotected, or that cannot be told. It is open to
// everybody and says no more.
func (h *Handler) readyz(w http.ResponseWriter, c *call) error {
	s, err := h.status.get(c.Context())
	if err != nil || s.State == snapshot.Unprotected {
		return writePlain(w, http.StatusServiceUnavailable, "not ready\n")
	}
	return writePlain(w, http.StatusOK, "ready\n")
}

func writePlain(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client has gone: nobody to tell
	return nil
}

// statusCache asks for the status, which looks at the live database, once for all who
// want it in the same second, and again after something happened.
type statusCache struct {
	ask  func(context.Context) (snapshot.Status, error)
	now  func() time.Time
	base context.Context // of the question, which belongs to no single asker

	mu     sync.Mutex // guards what follows
	era    uint64     // another one after something happened
	flight *statusFlight
	last   *statusFlight // answered well, and of this era
}

// statusFlight is one question. done is closed with the answer, after which nothing changes.
type statusFlight struct {
	era    uint64
	done   chan struct{}
	status snapshot.Status
	err    error
	at     time.Time // of the answer
}

// statusLife is how long an answer is good where nothing happens; statusTimeout
// bounds the question.
const (
	statusLife    = time.Second
	statusTimeout = 30 * time.Second
)

// get returns the status as it is, or was a second ago.
func (s *statusCache) get(ctx context.Context) (snapshot.Status, error) {
	f := s.current()
	select {
	case <-f.done:
		return f.status, f.err
	case <-ctx.Done():
		return snapshot.Status{}, ctx.Err()
	}
}

func (s *statusCache) current() *statusFlight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := s.age(); s.last != nil && age >= 0 && age < statusLife {
		return s.last
	}
	if s.flight == nil || s.flight.era != s.era {
		f := &statusFlight{era: s.era, done: make(chan struct{})}
		s.flight = f
		go s.fly(f) // ends within statusTimeout, or with base
	}
	return s.flight
}

func (s *statusCache) age() time.Duration {
	if s.last == nil {
		return 0
	}
	return s.now().Sub(s.last.at)
}

func (s *statusCache) fly(f *statusFlight) {
	ctx, cancel := context.WithTimeout(s.base, statusTimeout)
	defer cancel()
	defer close(f.done)
	f.status, f.err = s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.at = s.now()
	if s.flight == f {
		s.flight = nil
	}
	if f.err == nil && f.era == s.era {
		s.last = f
	}
}

// forget has the next one who asks get a new answer. It never waits for one.
func (s *statusCache) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.era++
	s.last = nil
}

// word stands for what the page shows at a glance.
func (s *statusCache) word(ctx context.Context) string {
	st, err := s.get(ctx)
	if err != nil {
		return "unknown"
	}
	return string(st.State) + " " + string(st.Code) // not the reason: it tells the age
}

// statusNow is the status for those who ask without a request.
func (h *Handler) statusNow() (snapshot.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	return h.status.get(ctx)
}
