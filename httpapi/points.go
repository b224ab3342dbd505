package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"example.com/snapd/snapshot"
)

func pointRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/points", right: RightView, query: []string{"from", "to", "limit", "cursor"}, handle: listPoints},
		{method: http.MethodGet, path: "/points/density", right: RightView, query: []string{"from", "to", "buckets"}, handle: (*Handler).getDensity},
		{method: http.MethodGet, path: "/points/runs", right: RightView, query: []string{"from", "to"}, handle: (*Handler).getRuns},
		{method: http.MethodGet, path: "/points/nearest", right: RightView, query: []string{"at"}, handle: (*Handler).getNearest},
	}
}

// Points of one page, and slices of a density.
const (
	defaultPoints  = 100
	maxPoints      = 1000
	defaultBuckets = 240
	maxBuckets     = 1000
)

// moment reads a time of the query; the zero time where it is absent.
func moment(values url.Values, name string) (time.Time, error) {
	if !values.Has(name) {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, values.Get(name))
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, invalid(fmt.Sprintf("parameter %q must be a time as RFC 3339 writes it", name), "such as 2026-11-25T13:31:59Z; a + is written %2B")
	}
	return t, nil
}

// span reads the parameters from and to.
func span(values url.Values) (from, to time.Time, err error) {
	if from, err = moment(values, "from"); err != nil {
		return from, to, err
	}
	if to, err = moment(values, "to"); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && from.After(to) {
		return from, to, invalid(`parameter "from" is after "to"`, "")
	}
	return from, to, nil
}

// pageOf is one page of the recovery points, or of what is known of each.
type pageOf[T any] struct {
	Points []T     `json:"points"`
	Next   *string `json:"next_cursor"`
}

type pointPage = pageOf[snapshot.Point]

// showPoints answers with a page that read returns for a span of time and a limit: def unless one is given, at most most.
func showPoints[T any](h *Handler, w http.ResponseWriter, c *call, def, most int, read func(ctx context.Context, from, to time.Time, limit int) ([]T, string, error)) error {
	from, to, err := span(c.query)
	if err != nil {
		return err
	}
	limit, err := number(c.query, "limit", def, most)
	if err != nil {
		return err
	}
	return show(h, w, c, "", func(ctx context.Context) (pageOf[T], error) {
		page, next, err := read(ctx, from, to, limit)
		if c.query.Has("cursor") && errors.Is(err, snapshot.ErrNotFound) {
			err = invalid(`parameter "cursor" is none that was given out, or its point was thinned out since`, "start again without one")
		}
		return pageOf[T]{notNull(page), cursor(next)}, err
	})
}

func listPoints(h *Handler, w http.ResponseWriter, c *call) error {
	return showPoints(h, w, c, defaultPoints, maxPoints, func(ctx context.Context, from, to time.Time, limit int) ([]snapshot.Point, string, error) {
		return h.m.Points(ctx, snapshot.PointsQuery{From: from, To: to, Limit: limit, Cursor: c.query.Get("cursor")})
	})
}
