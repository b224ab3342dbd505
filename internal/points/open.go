package points

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
)

// Image is the image of a point, open for reading and proven by its sum.
type Image struct {
	archive.Image
	Point   Point
	Base    catalog.Entry // the backup that it is read from
	Skipped []Skipped     // bases that were nearer
	view    *changes.View // nil for a backup's own archive
}

// Skipped is a base that could not be used, and why.
type Skipped struct {
	Backup catalog.Entry
	Err    error
}

// Opener opens the archive of a backup.
type Opener func(catalog.Entry) (*archive.Reader, error)

// Close closes what the image is read from.
func (i *Image) Close() error {
	err := i.Image.Close()
	if i.view != nil {
		err = errors.Join(err, i.view.Close())
	}
	return err
}

// Open opens the image of a point of the set: a backup's own archive where there is one, else the nearest
// base with the changes since. A base that cannot be read, or does not lead to the point, is skipped for the one before it.
func (s *Set) Open(ctx context.Context, p Point, open Opener) (*Image, error) {
	i := &Image{Point: p}
	if p.backup != nil {
		r, err := open(*p.backup)
		if err == nil {
			i.Image, i.Base = r, *p.backup
			return i, nil
		}
		if len(p.bases) == 0 {
			return nil, err
		}
		i.Skipped = append(i.Skipped, Skipped{*p.backup, err})
	}
	err := i.over(ctx, Directory(s.backups, p.timeline), open)
	if err != nil {
		for _, skipped := range i.Skipped {
			err = errors.Join(err, skipped.Err)
		}
		return nil, fmt.Errorf("recovery point %s: %w", p.ID, err)
	}
	return i, nil
}

// over opens the point over one of its bases.
func (i *Image) over(ctx context.Context, dir string, open Opener) (err error) {
	if i.view, err = changes.Read(ctx, dir); err != nil {
		return err
	}
	for n := len(i.Point.bases) - 1; n >= 0; n-- {
		b := i.Point.bases[n]
		if b.seq == i.Point.seq && len(i.Skipped) > 0 && i.Skipped[0].Backup.ID == b.entry.ID {
			continue
		}
		if err = i.overBase(ctx, b, open); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
		i.Skipped = append(i.Skipped, Skipped{b.entry, err})
	}
	if err == nil {
		err = ErrNotFound
	}
	return errors.Join(err, i.view.Close())
}

func (i *Image) overBase(ctx context.Context, b base, open Opener) error {
	r, err := open(b.entry)
	if err != nil {
		return err
	}
	if b.seq == i.Point.seq { // its own image
		i.Image, i.Base = r, b.entry
		return nil
	}
	m, err := i.view.Map(ctx, b.seq, i.Point.seq)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	image, err := changes.NewImage(ctx, r, m)
	if err != nil {
		return errors.Join(err, m.Close(), r.Close())
	}
	i.Image, i.Base = image, b.entry
	return nil
}
