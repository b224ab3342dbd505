package proof

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/imagefs"
	"example.com/snapd/internal/points"
)

// Files are the images of a catalog as the source of a file system: the backups that did not fail their proof, and
// recovery points.
type Files struct {
	Catalog *catalogfile.Catalog
	Points  func() ([]points.Point, error) // that are listed; others can be opened
	Look    func(id string) (imagefs.Image, error)
}

// List returns the backups and the points of the change log.
func (f Files) List() (all []imagefs.Item, err error) {
	backups, err := f.Catalog.Entries()
	if err != nil {
		return nil, failure.Explain(err)
	}
	for _, e := range backups {
		if e.Unfailed() {
			all = append(all, item(e))
		}
	}
	captured, err := f.Points()
	for _, p := range captured {
		if p.Kind == points.Change {
			all = append(all, item(p.Entry()))
		}
	}
	return all, err
}

func item(e catalog.Entry) imagefs.Item {
	return imagefs.Item{ID: e.ID, Point: IsPoint(e), Bytes: e.DatabaseBytes, At: e.CreatedAt}
}

// Find returns the image with exactly that id; fs.ErrNotExist where there is none.
func (f Files) Find(id string, point bool) (imagefs.Item, error) {
	e, err := Find(context.Background(), f.Catalog, id)
	if err = failure.Explain(err); errors.Is(err, failure.ErrNotFound) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return imagefs.Item{}, err
	}
	i := item(e)
	if _, _, asPoint := catalog.ParsePoint(id); asPoint {
		i.ID, i.Point = id, true // also of a backup
	}
	if i.ID != id || i.Point != point || !e.Unfailed() { // it was found by a part of the id, or as latest
		return imagefs.Item{}, fs.ErrNotExist
	}
	return i, nil
}

// Open opens an image.
func (f Files) Open(i imagefs.Item) (imagefs.Image, error) {
	image, err := f.Look(i.ID)
	return explained{image}, err
}

// explained names what ends its reading.
type explained struct{ imagefs.Image }

func (e explained) ReadAt(b []byte, off int64) (int, error) {
	n, err := e.Image.ReadAt(b, off)
	if err != nil && err != io.EOF {
		err = failure.Explain(err)
	}
	return n, err
}
