package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/snapd/internal/points"
)

// Recovery points, under this package's name.
type (
	// Point is a state of the database that can be restored, by its ID: what it was at the time At.
	Point = points.Point
	// PointKind says whether a point is a backup or was captured.
	PointKind = points.Kind
	// PointState says how far a point is proven.
	PointState = points.State
	// PointsQuery chooses points by time, and how many. Zero values do not restrict.
	PointsQuery = points.Query
	// PointsAmbiguous is the error of [Manager.PointAt] for a time that came more than once.
	PointsAmbiguous = points.AmbiguousError
)

// The values of those types.
const (
	PointBackup, PointChange   = points.Backup, points.Change
	PointSealed, PointVerified = points.Sealed, points.Verified
	PointDamaged               = points.Damaged
)

// Points returns the states of the database that can be restored, newest first: the verified backups, and
// what a service captured of the commits in between. next is the cursor for the following page, "" when there is none.
// The id of a point does wherever a backup's is restored, drilled or read. Errors: [ErrNotFound] for a
// cursor whose point is gone.
func (m *Manager) Points(ctx context.Context, q PointsQuery) (page []Point, next string, err error) {
	set, err := pointsOf(ctx, m)
	if err == nil {
		page, next, err = set.List(q)
	}
	if err != nil {
		return nil, "", explain(fmt.Errorf("list recovery points: %w", err))
	}
	return page, next, nil
}

// PointAt returns the newest recovery point at or before t. Errors: [ErrNotFound], and [*PointsAmbiguous] where
// the clock was set back and t came more than once.
func (m *Manager) PointAt(ctx context.Context, t time.Time) (Point, error) {
	set, err := pointsOf(ctx, m)
	if err != nil {
		return Point{}, explain(err)
	}
	p, err := set.At(t)
	return p, explain(err)
}

func pointsOf(ctx context.Context, m *Manager) (*points.Set, error) {
	all, state, err := m.cat.Read()
	if err != nil {
		return nil, err
	}
	set, err := points.Read(ctx, &m.captures, m.cfg.Dir, all, state)
	if err == nil {
		m.damagedPoints.report(ctx, m, errors.Join(set.Damaged...))
	}
	return set, err
}

// reported is damage that a warning was given of.
type reported struct {
	mu   sync.Mutex
	text string
}

// report gives a warning of damage to the change logs, once while it is the same.
func (r *reported) report(ctx context.Context, m *Manager, damage error) {
	text := ""
	if damage != nil {
		text = damage.Error()
	}
	r.mu.Lock()
	news := text != r.text
	r.text = text
	r.mu.Unlock()
	if news && damage != nil {
		m.ev.emit(ctx, Event{Type: EventWarning, Err: damage, Message: "some recovery points are not offered: a part of the change log cannot be read"})
	}
}
