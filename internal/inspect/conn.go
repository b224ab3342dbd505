package inspect

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/internal/sqlite"
)

// open opens a connection to the image that can only read it, and finds no place for temporary files: what is sorted is
// in memory.
func (i *Image) open() (*sqlite.Conn, error) {
	c, err := sqlite.Open(imageName, sqlite.Options{VFS: i.fileSystem, Immutable: true, Untrusted: true})
	if err != nil {
		return nil, i.judge(err)
	}
	err = c.Exec(context.Background(), "PRAGMA query_only=1; PRAGMA temp_store=2")
	if err == nil {
		err = c.ReadOnlyFrom()
	}
	if err != nil {
		return nil, errors.Join(i.judge(err), c.Close())
	}
	return c, nil
}

// judge says what an error of SQLite proves about the image.
func (i *Image) judge(err error) error {
	switch sqlite.Classify(err) {
	case sqlite.ClassCorrupt, sqlite.ClassNotADB:
		return i.explain(fmt.Errorf("%w: %w", ErrDamaged, err))
	case sqlite.ClassIO:
		return i.explain(err)
	}
	return err
}

// Conn opens a connection of its own to the image, as one to an untrusted file. Explain says why it could not read.
func (i *Image) Conn() (*sqlite.Conn, error) {
	c, err := sqlite.Open(imageName, sqlite.Options{VFS: i.fileSystem, Immutable: true, Untrusted: true})
	if err != nil {
		return nil, i.explain(err)
	}
	return c, nil
}

// Explain returns the read that failed in the place of err, if one did.
func (i *Image) Explain(err error) error { return i.explain(err) }

// Size is the size of the image in bytes.
func (i *Image) Size() int64 { return i.size }
