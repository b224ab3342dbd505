package httpapi

import (
	"context"
	"net/http"
	"time"

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

type logPage = pageOf[snapshot.LogEntry]

// getLog says which rows each recovery point changed: how many, in which table.
func getLog(h *Handler, w http.ResponseWriter, c *call) error {
	return showPoints(h, w, c, defaultLog, maxLog, func(ctx context.Context, from, to time.Time, limit int) ([]snapshot.LogEntry, string, error) {
		return h.m.Log(ctx, snapshot.LogQuery{From: from, To: to, Table: c.query.Get("table"), Limit: limit, Cursor: c.query.Get("cursor")})
	})
}
