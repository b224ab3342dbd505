package httpapi

import (
	"net/http"

	"example.com/snapd/snapshot"
)

func activityRoutes() []route {
	return []route{{method: http.MethodGet, path: "/activity", right: RightView, query: []string{"limit", "cursor"}, handle: (*Handler).getActivity}}
}

// Entries of one page of the activity log.
const (
	defaultActivity = 50
	maxActivity     = 500
)

type activityPage struct {
	Activity []snapshot.Activity `json:"activity"`
	Next     *string             `json:"next_cursor"`
}

func (h *Handler) getActivity(w http.ResponseWriter, c *call) error {
	limit, err := number(c.query, "limit", defaultActivity, maxActivity)
	if err != nil {
		return err
	}
	revision, err := h.m.Revision()
	if err != nil {
		return err
	}
	page, next, err := h.m.Activity(c.query.Get("cursor"), limit)
	if err != nil {
		return cursorError(err)
	}
	if fresh(w, c.Request, hashOf(revision)) {
		return nil
	}
	return writeJSON(w, http.StatusOK, activityPage{notNull(page), cursor(next)})
}
