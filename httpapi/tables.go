package httpapi

import (
	"context"
	"net/http"
	"time"

	"example.com/snapd/snapshot"
)

func tableRoutes() []route {
	return []route{{method: http.MethodGet, path: "/backups/:id/tables", right: RightView, handle: getTables}}
}

// Reading the tables of an archive costs memory and time: both are bounded.
const (
	maxReading  = 2 // archives at one time
	readTimeout = 30 * time.Second
)

type tableDocument struct {
	Tables []snapshot.Table `json:"tables"`
}

// reading calls read when there is a slot for it, and bounds its time.
func reading[T any](h *Handler, c *call, read func(context.Context) (T, error)) (got T, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), readTimeout)
	defer cancel()
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
		return read(ctx)
	case <-ctx.Done():
		return got, ctx.Err()
	}
}

// show answers with what read returns. what is the data that the activity log says was looked at; "" for none.
func show[T any](h *Handler, w http.ResponseWriter, c *call, what string, read func(context.Context) (T, error)) error {
	got, err := reading(h, c, read)
	if err != nil {
		return err
	}
	if what != "" {
		recordLook(h, c, what)
	}
	return writeJSON(w, http.StatusOK, got)
}

func getTables(h *Handler, w http.ResponseWriter, c *call) error {
	return show(h, w, c, "", func(ctx context.Context) (tableDocument, error) {
		all, err := h.m.Tables(ctx, c.param("id"))
		return tableDocument{notNull(all)}, err
	})
}
