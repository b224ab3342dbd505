package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"modernc.org/sqlite/vfs"

	"example.com/snapd/internal/archive"
)

// openImage is the image inside a backup, as the one file of a read-only file system for
// SQLite. It remembers the first read that failed: SQLite only says that it could not read.
type openImage struct {
	*archive.Reader
	backup     Backup
	fileSystem string // its name
	files      *vfs.FS
	failed     func(error) // called once

	mu    sync.Mutex
	first error
}

// openImage opens the image of a backup. A damaged archive is marked failed, also when
// that shows in a later read.
func (m *Manager) openImage(ctx context.Context, id string) (*openImage, error) {
	e, err := m.cat.Get(id)
	if err != nil {
		return nil, explain(err)
	}
	r, err := m.openArchive(e)
	if err != nil {
		return nil, explain(m.markFailed(ctx, e, err))
	}
	ctx = context.WithoutCancel(ctx)
	i := &openImage{Reader: r, backup: e, failed: func(err error) {
		if err = explain(m.markFailed(ctx, e, fmt.Errorf("backup %s: %w", e.ID, err))); errors.Is(err, ErrCorrupt) {
			m.ev.emit(ctx, Event{Type: EventWarning, Backup: e.ID, Path: m.cat.Path(e), Err: err, Message: "an open backup is damaged"})
		}
	}}
	if i.fileSystem, i.files, err = vfs.New(imageFS{i}); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return i, nil
}

func (i *openImage) close() error { return errors.Join(i.files.Close(), i.Reader.Close()) }

// ReadAt reads from the image, and has the first failure reported.
func (i *openImage) ReadAt(b []byte, off int64) (int, error) {
	n, err := i.Reader.ReadAt(b, off)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.first == nil {
		i.first = err
		i.failed(err)
	}
	return n, err
}

// explain returns why SQLite ended with err.
func (i *openImage) explain(err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if errors.Is(explain(i.first), ErrCorrupt) {
		err = i.first
	}
	return explain(fmt.Errorf("backup %s: %w", i.backup.ID, err))
}

// imageName is the only file of an imageFS.
const imageName = "image.db"

// imageFS shows an image as the one file of a read-only file system.
type imageFS struct{ image *openImage }

func (f imageFS) Open(name string) (fs.File, error) {
	if name != imageName {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &imageFile{io.NewSectionReader(f.image, 0, f.image.Info().ImageBytes), f.image.backup.CreatedAt}, nil
}

// imageFile is the image, with Read and Seek from the section reader, and its own FileInfo.
type imageFile struct {
	*io.SectionReader
	at time.Time
}

func (f *imageFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *imageFile) Close() error               { return nil }
func (f *imageFile) Name() string               { return imageName }
func (f *imageFile) Mode() fs.FileMode          { return 0o400 }
func (f *imageFile) ModTime() time.Time         { return f.at }
func (f *imageFile) IsDir() bool                { return false }
func (f *imageFile) Sys() any                   { return nil }
