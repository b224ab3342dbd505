package catalogfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/message"
)

// OpenArchive opens the archive of e and ties it to its entry by the image digest.
// Errors: ErrNotFound, archive.ErrDamaged and the others of package archive.
func (c *Catalog) OpenArchive(e catalog.Entry) (*archive.Reader, error) {
	return openTied(c, e, false)
}

// Uncached returns OpenArchive of what the disk has: what the system has in memory of the archive is dropped, as far as it does that.
func Uncached(c *Catalog) func(catalog.Entry) (*archive.Reader, error) {
	return func(e catalog.Entry) (*archive.Reader, error) { return openTied(c, e, true) }
}

// openTied opens the archive of e and ties it to its entry.
func openTied(c *Catalog, e catalog.Entry, uncached bool) (*archive.Reader, error) {
	r, err := c.openArchive(e.File, uncached)
	const way = "run rebuild, or choose another backup from list"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, message.WithHint(fmt.Errorf("backup %s: its file has gone: %w", e.ID, ErrNotFound), way)
	case errors.Is(err, ErrUnsafe):
		return nil, message.WithHint(fmt.Errorf("backup %s: something else is in the place of its file: %w: %v", e.ID, ErrNotFound, err), way)
	}
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", e.ID, err)
	}
	if got := r.Info().ImageBLAKE3; got != e.ImageBLAKE3 {
		return nil, errors.Join(fmt.Errorf("backup %s: %w: the archive's image digest %s is not the catalog's %s",
			e.ID, archive.ErrDamaged, got, e.ImageBLAKE3), r.Close())
	}
	return r, nil
}

// OpenFile opens the archive of a backup of c as a file.
func OpenFile(c *Catalog, e catalog.Entry) (*os.File, error) {
	return openOurs(filepath.Join(c.dir, e.File), os.O_RDONLY)
}

// openArchive opens the archive of that name. Errors: ErrUnsafe, those of package archive.
func (c *Catalog) openArchive(name string, uncached bool) (*archive.Reader, error) {
	f, err := openOurs(filepath.Join(c.dir, name), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if uncached {
		durable.DropCached(f)
	}
	return archive.OpenFile(f)
}

// ErrArchiveGone: there is no archive, or another one.
var ErrArchiveGone = errors.New("is gone or was changed")

// Present returns nil where the archive of e is there, of its size. Errors:
// ErrArchiveGone, and others where it could not be looked at.
func (c *Catalog) Present(e catalog.Entry) error {
	st, err := os.Lstat(c.Path(e))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && (!st.Mode().IsRegular() || st.Size() != e.ArchiveBytes):
		return ErrArchiveGone
	case err != nil:
		return fmt.Errorf("could not be looked at: %w", err)
	}
	return nil
}

// PageSeed returns the seed of the page digests of this directory's archives, and keeps
// it. The first backup makes it; where the catalog lost it, it comes from the newest
// readable archive.
func (c *Catalog) PageSeed(ctx context.Context) (seed archive.Seed, err error) {
	state, err := c.State()
	if err != nil {
		return seed, err
	}
	if seed, err = archive.ParseSeed(state.PageSeed); err == nil {
		return seed, nil
	}
	entries, err := c.All() // newest first
	if err != nil {
		return seed, err
	}
	seed = archive.NewSeed()
	for e := range entries {
		if r, err := c.OpenArchive(e); err == nil {
			seed = r.Seed()
			r.Close() // it was only read
			break
		}
	}
	err = c.Update(ctx, func(tx *Tx) error {
		if first, err := archive.ParseSeed(tx.State().PageSeed); err == nil {
			seed = first // another process was faster
		}
		tx.State().PageSeed = seed.String()
		return nil
	})
	return seed, err
}
