package httpapi

import (
	"context"
	"sync/atomic"
	"time"

	"example.com/snapd/snapshot"
)

// pointsCache remembers the recovery points, the newest first. Reading them takes time that grows with the change
// log, and a page that is looked at asks again and again: at most a part of the time is spent on it.
type pointsCache struct {
	read func(context.Context) ([]snapshot.Point, error)
	now  func() time.Time

	era  atomic.Int64  // counts what happened
	turn chan struct{} // one element while there is a reader; it guards what follows

	seen  int64 // the era of all
	all   []snapshot.Point
	asked time.Time     // when they were read; zero for never
	good  time.Duration // how long they are used
}

// pointsLife is how long points are used at least, pointsMost at most, and pointsShare how many times longer than
// it took to read them.
const (
	pointsLife  = time.Second
	pointsMost  = time.Minute
	pointsShare = 10
)

func newPointsCache(m manager, now func() time.Time) *pointsCache {
	return &pointsCache{turn: make(chan struct{}, 1), now: now, read: func(ctx context.Context) ([]snapshot.Point, error) {
		all, _, err := m.Points(ctx, snapshot.PointsQuery{})
		return all, err
	}}
}

// get returns points that were read lately, and not before a moment that has passed.
func (p *pointsCache) get(ctx context.Context, since time.Time) ([]snapshot.Point, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now, era := p.now(), p.era.Load()
	if since.After(now) {
		since = now.Add(-pointsLife)
	}
	if age := now.Sub(p.asked); !p.asked.IsZero() && p.seen == era && age >= 0 && age < p.good && !p.asked.Before(since) {
		return p.all, nil
	}
	all, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	p.all, p.asked, p.seen = all, now, era
	p.good = min(max(pointsShare*p.now().Sub(now), pointsLife), pointsMost)
	return all, nil
}

// forget makes the next request read the points. It waits for nothing.
func (p *pointsCache) forget() { p.era.Add(1) }
