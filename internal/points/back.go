package points

import (
	"context"
	"errors"
	"slices"

	"example.com/snapd/internal/changes"
)

// Back are the images of points that follow one another, newest first, each from the one before by the pages that changed.
type Back struct {
	points []Point
	view   *changes.View
	back   *changes.Back
}

// ErrNoBack: the first two of the points have no Back.
var ErrNoBack = changes.ErrNoBack

// Back opens as many of the points, of the set and newest first, as follow one another in one change log over one base.
func (s *Set) Back(ctx context.Context, list []Point, open Opener) (_ *Back, err error) {
	n, from := reach(list)
	if n < 2 {
		return nil, ErrNoBack
	}
	b := &Back{points: list[:n]}
	if b.view, err = changes.Read(ctx, Directory(s.backups, list[0].timeline)); err != nil {
		return nil, err
	}
	r, err := open(from.entry)
	if err != nil {
		return nil, errors.Join(err, b.view.Close())
	}
	if b.back, err = b.view.Back(ctx, r, from.seq, list[n-1].seq, list[0].seq); err != nil {
		return nil, errors.Join(err, r.Close(), b.view.Close())
	}
	return b, nil
}

// reach is how many of the points can be read over one base, and that.
func reach(list []Point) (n int, from base) {
	for n < len(list) && list[n].log && list[n].timeline == list[0].timeline {
		nearest := slices.IndexFunc(list[n].bases, func(b base) bool { return b.seq >= list[n].seq })
		if nearest < 0 {
			nearest = len(list[n].bases)
		}
		if nearest == 0 {
			break
		}
		b := list[n].bases[nearest-1]
		if !slices.ContainsFunc(list[0].bases, func(of base) bool { return of.entry.ID == b.entry.ID && of.seq == b.seq }) {
			break // a gap is between them
		}
		n, from = n+1, b
	}
	return n, from
}

// Newest is the image of the newest point.
func (b *Back) Newest() *Image { return &Image{Image: b.back.Newest(), Point: b.points[0]} }

// Older returns the image of the point before the one that was returned last, and the pages in which the two may differ; nil after the last one.
// An image is good until the second call after the one that returned it.
func (b *Back) Older() (*Image, []uint32, error) {
	i, pages, err := b.back.Older()
	if i == nil || err != nil {
		return nil, nil, err
	}
	b.points = b.points[1:]
	return &Image{Image: i, Point: b.points[0]}, pages, nil
}

// Close closes what the images are read from.
func (b *Back) Close() error { return errors.Join(b.back.Close(), b.view.Close()) }
