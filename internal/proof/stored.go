// Package proof proves what is stored: it finds backups and recovery points by their ids, opens their images, judges
// them, and keeps the verdict. What one reading finds damaged is read again before the backup is marked failed.
package proof

import (
	"context"
	"fmt"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/progress"
)

// Prover proves the backups and recovery points of a catalog, for one operation.
type Prover struct {
	progress.Reporter
	Catalog *catalogfile.Catalog
	Memory  *catalogfile.Memory
	Workers int
	Now     func() time.Time
}

// Find returns the backup with an id, or what describes the recovery point with it as a backup's entry
// does: it has no file.
func Find(ctx context.Context, cat *catalogfile.Catalog, id string) (catalog.Entry, error) {
	if _, _, isPoint := catalog.ParsePoint(id); !isPoint {
		return cat.Get(id)
	}
	_, p, err := findPoint(ctx, cat, id)
	return p.Entry(), err
}

func findPoint(ctx context.Context, cat *catalogfile.Catalog, id string) (*points.Set, points.Point, error) {
	all, state, err := cat.Read()
	if err != nil {
		return nil, points.Point{}, err
	}
	set, p, err := points.Find(ctx, cat.Dir(), id, all, state)
	return set, p, failure.Explain(err)
}

// IsPoint reports whether e, which Find returned, stands for a point of the change log.
func IsPoint(e catalog.Entry) bool { return e.File == "" }

// Kind is what messages call e, Named is that with its id.
func Kind(e catalog.Entry) string {
	if IsPoint(e) {
		return "recovery point"
	}
	return "backup"
}

func Named(e catalog.Entry) string { return Kind(e) + " " + e.ID }

// Path is where e is stored.
func Path(cat *catalogfile.Catalog, e catalog.Entry) string {
	if IsPoint(e) {
		return points.Directory(cat.Dir(), e.Timeline.Number)
	}
	return cat.Path(e)
}

// Image is the image of what Find returned.
type Image struct {
	archive.Image
	Of      catalog.Entry
	Base    catalog.Entry    // whose archive it is read from: of itself, unless that is a point
	skipped []points.Skipped // bases that could not be used
}

// PointBase is the id of the backup that a recovery point is read from, "" for a backup.
func (i Image) PointBase() string {
	if !IsPoint(i.Of) {
		return ""
	}
	return i.Base.ID
}

// Open opens the image of e, which Find returned. It changes nothing.
func Open(ctx context.Context, cat *catalogfile.Catalog, e catalog.Entry) (Image, error) {
	return open(ctx, cat, e, cat.OpenArchive)
}

// opener opens the archive of a backup: as the system has it, or from the disk.
type opener = points.Opener

func open(ctx context.Context, cat *catalogfile.Catalog, e catalog.Entry, archiveOf opener) (Image, error) {
	if !IsPoint(e) {
		r, err := archiveOf(e)
		return Image{r, e, e, nil}, err
	}
	set, p, err := findPoint(ctx, cat, e.ID)
	if err != nil {
		return Image{}, err
	}
	i, err := set.Open(ctx, p, archiveOf)
	if err != nil {
		return Image{}, err
	}
	return Image{i, e, i.Base, i.Skipped}, nil
}

// Open is the function Open; what it finds damaged is marked failed.
func (p *Prover) Open(ctx context.Context, e catalog.Entry) (Image, error) {
	i, err := Open(ctx, p.Catalog, e)
	if err != nil && !IsPoint(e) {
		return i, p.MarkFailed(ctx, e, err)
	}
	for _, s := range i.skipped {
		p.Warn(progress.Warning{Backup: s.Backup.ID, Err: p.MarkFailed(ctx, s.Backup, s.Err),
			Message: fmt.Sprintf("backup %s cannot be the base of recovery point %s; it is read from backup %s", s.Backup.ID, e.ID, i.Base.ID)})
	}
	return i, err
}
