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

// readingSlot waits for a slot, and bounds the reading. leave is called when it is done.
func (h *Handler) readingSlot(c *call) (ctx context.Context, leave func(), err error) {
	ctx, cancel := context.WithTimeout(c.Context(), readTimeout)
	select {
	case h.reading <- struct{}{}:
		return ctx, func() { <-h.reading; cancel() }, nil
	case <-ctx.Done():
		cancel()
		return nil, nil, ctx.Err()
	}
}

func (h *Handler) getTables(w http.ResponseWriter, c *call) error {
	ctx, leave, err := h.readingSlot(c)
	if err != nil {
		return err
	}
	defer leave()
	all, err := h.m.Tables(ctx, c.param("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, tableDocument{notNull(all)})
}
