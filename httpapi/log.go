package httpapi

import (
	"errors"
	"net/http"

	"example.com/snapd/snapshot"
)

func logRoutes() []route {
	return []route{{method: http.MethodGet, path: "/points/log", right: RightView, query: []string{"table", "from", "to", "limit", "cursor"}, handle: getLog}}
}

// Points of one page of the log.
const (
	defaultLog = 20
	maxLog     = 200
)

type logPage struct {
	Points []snapshot.LogEntry `json:"points"`
	Next   *string             `json:"next_cursor"`
}

// getLog says which rows each recovery point changed: how many, in which table.
func getLog(h *Handler, w http.ResponseWriter, c *call) error {
	from, to, err := span(c.query)
	if err != nil {
		return err
	}
	limit, err := number(c.query, "limit", defaultLog, maxLog)
	if err != nil {
		return err
	}
	ctx, leave, err := h.readingSlot(c)
	if err != nil {
		return err
	}
	defer leave()
	page, next, err := h.m.Log(ctx, snapshot.LogQuery{From: from, To: to, Table: c.query.Get("table"), Limit: limit, Cursor: c.query.Get("cursor")})
	if c.query.Has("cursor") && errors.Is(err, snapshot.ErrNotFound) {
		return invalid(`parameter "cursor" is none that was given out, or its point was thinned out since`, "start again without one")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, logPage{notNull(page), cursor(next)})
}
