package httpapi

import (
	"net/http"

	"example.com/snapd/snapshot"
)

func statusRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/status", right: RightView, handle: (*Handler).getStatus},
		{method: http.MethodGet, path: "/stats", right: RightView, handle: (*Handler).getStats},
		{method: http.MethodGet, path: "/history", right: RightView, query: []string{"days"}, handle: (*Handler).getHistory},
		{method: http.MethodPost, path: "/accept-break", right: RightDelete, handle: (*Handler).acceptBreak},
		{method: http.MethodGet, path: "/retention-plan", right: RightView, handle: (*Handler).getRetentionPlan},
		{method: http.MethodGet, path: "/healthz", root: true, handle: (*Handler).healthz},
		{method: http.MethodGet, path: "/readyz", root: true, handle: (*Handler).readyz},
	}
}

func (h *Handler) getStatus(w http.ResponseWriter, c *call) error {
	s, err := h.status.get(c.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s)
}

func (h *Handler) getStats(w http.ResponseWriter, c *call) error {
	revision, err := h.m.Revision()
	if err != nil {
		return err
	}
	s, err := h.m.Stats()
	if err != nil {
		return err
	}
	if fresh(w, c.Request, hashOf(revision)) {
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
	days, err := number(c.query, "days", defaultDays, maxDays)
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
	all, err := h.m.PlanPrune(nil)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, decisionDocument{notNull(all)})
}

type acceptedDocument struct {
	Accepted *snapshot.Break `json:"accepted"`
}

// acceptBreak lets retention go on after a break.
func (h *Handler) acceptBreak(w http.ResponseWriter, c *call) error {
	if err := h.ops.writing(); err != nil {
		h.refused(c, string(snapshot.OpAccept), "", err)
		return err
	}
	b, err := h.m.AcceptBreak(snapshot.WithCaller(c.Context(), snapshot.Caller{Who: nameOf(c.who)}))
	if err != nil {
		return err
	}
	h.happened()
	return writeJSON(w, http.StatusOK, acceptedDocument{b})
}

// notNull is an empty list in JSON where there is nothing.
func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// healthz reports that the process answers.
func (h *Handler) healthz(w http.ResponseWriter, _ *call) error {
	return writePlain(w, http.StatusOK, "ok\n")
}

// readyz is 503 while the data is unprotected or its state is unknown. It is open to everybody
// and says no more.
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
	_, _ = w.Write([]byte(text)) // the client has gone: no receiver for the error
	return nil
}
