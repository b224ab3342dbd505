package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/points"
)

// Recovery points, under this package's name.
type (
	Point       = points.Point
	PointKind   = points.Kind
	PointState  = points.State
	PointsQuery = points.Query
	// PointsAmbiguous is the error of [Manager.PointAt] for a time that came more than once.
	PointsAmbiguous = points.AmbiguousError
)

// The values of those types.
const (
	PointBackup, PointChange   = points.Backup, points.Change
	PointSealed, PointVerified = points.Sealed, points.Verified
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

// find returns the backup with an id, or what describes the recovery point with it as a backup's entry
// does: it has no file.
func find(ctx context.Context, m *Manager, id string) (Backup, error) {
	if _, _, isPoint := catalog.ParsePoint(id); !isPoint {
		return m.cat.Get(id)
	}
	_, p, err := findPoint(ctx, m, id)
	return p.Entry(), err
}

func findPoint(ctx context.Context, m *Manager, id string) (*points.Set, Point, error) {
	all, state, err := m.cat.Read()
	if err != nil {
		return nil, Point{}, err
	}
	set, p, err := points.Find(ctx, m.cfg.Dir, id, all, state)
	return set, p, explain(err)
}

// isPoint reports whether e, which find returned, stands for a point of the change log.
func isPoint(e Backup) bool { return e.File == "" }

// kindOf is what messages call e, named is that with its id.
func kindOf(e Backup) string {
	if isPoint(e) {
		return "recovery point"
	}
	return "backup"
}

func named(e Backup) string { return kindOf(e) + " " + e.ID }

// pathOf is where e is stored.
func pathOf(m *Manager, e Backup) string {
	if isPoint(e) {
		return points.Directory(m.cfg.Dir, e.Timeline.Number)
	}
	return m.cat.Path(e)
}

// opened is the image of what find returned.
type opened struct {
	archive.Image
	of      Backup
	base    Backup           // whose archive it is read from: of itself, unless that is a point
	skipped []points.Skipped // bases that could not be used
}

// open opens the image of e, which find returned. It changes nothing.
func open(ctx context.Context, m *Manager, e Backup) (opened, error) {
	if !isPoint(e) {
		r, err := m.cat.OpenArchive(e)
		return opened{r, e, e, nil}, err
	}
	set, p, err := findPoint(ctx, m, e.ID)
	if err != nil {
		return opened{}, err
	}
	i, err := set.Open(ctx, p, m.cat.OpenArchive)
	if err != nil {
		return opened{}, err
	}
	return opened{i, e, i.Base, i.Skipped}, nil
}

// openProven is open; what it finds damaged is marked failed.
func openProven(ctx context.Context, m *Manager, op Operation, e Backup) (opened, error) {
	o, err := open(ctx, m, e)
	if err != nil && !isPoint(e) {
		return o, m.markFailed(ctx, e, err)
	}
	for _, s := range o.skipped {
		m.ev.emit(ctx, Event{Type: EventWarning, Operation: op, Backup: s.Backup.ID, Err: m.markFailed(ctx, s.Backup, s.Err),
			Message: fmt.Sprintf("backup %s cannot be the base of recovery point %s; it is read from backup %s", s.Backup.ID, e.ID, o.base.ID)})
	}
	return o, err
}

// failed marks the backup that the image is read from failed where err of reading it proves that damaged, and
// not the change log. It returns err.
func (o opened) failed(ctx context.Context, m *Manager, err error) error {
	if errors.Is(err, changes.ErrDamaged) {
		return explain(err)
	}
	return m.markFailed(ctx, o.base, err)
}
