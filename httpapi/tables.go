package httpapi

import (
	"context"
	"net/http"
	"time"

	"example.com/snapd/snapshot"
)

func tableRoutes() []route {
	return []route{{method: http.MethodGet, path: "/backups/:id/tables", right: RightView, handle: (*Handler).getTables}}
}

// Reading the tables of an archive costs memory and time: both are bounded.
const (
	maxReading  = 2 // archives at one time
	readTimeout = 30 * time.Second
)

type tableDocument struct {
	Tables []snapshot.Table `json:"tables"`
}

func (h *Handler) getTables(w http.ResponseWriter, c *call) error {
	ctx, cancel := context.WithTimeout(c.Context(), readTimeout)
	defer cancel()
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	all, err := h.m.Tables(ctx, c.param("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, tableDocument{notNull(all)})
}
