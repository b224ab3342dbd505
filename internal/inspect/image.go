// Package inspect shows the image of a database to SQLite where it is: pages are read as
// they are asked for, nothing is unpacked, and nothing can be written.
package inspect

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	modernc "modernc.org/sqlite"
	"modernc.org/sqlite/vfs"

	"example.com/snapd/internal/sqlite"
)

// ErrDamaged: SQLite calls the image damaged.
var ErrDamaged = errors.New("the image is damaged")

// Image is the one file of a read-only file system for SQLite. It remembers the first
// read that failed: SQLite only says that it could not read.
type Image struct {
	pages      io.ReaderAt
	size       int64
	at         time.Time
	fileSystem string // its name
	files      *vfs.FS
	failed     func(error)
	read       atomic.Int64 // bytes, so far
	progress   atomic.Pointer[func(done, total int64)]
	closes     func() error // nil where the pages are the caller's
	kept       kept

	mu    sync.Mutex
	first error
}

// New shows the size bytes of pages as a database that was last changed at that time.
// failed is called once, with the first read that fails; it may be nil.
func New(pages io.ReaderAt, size int64, at time.Time, failed func(error)) (_ *Image, err error) {
	i := &Image{pages: pages, size: size, at: at, failed: failed}
	i.fileSystem, i.files, err = vfs.New(imageFS{i})
	return i, err
}

// Close ends the file system, and what Live began. The pages that New was given are the caller's.
func (i *Image) Close() error {
	err := i.files.Close()
	if i.closes != nil {
		err = errors.Join(err, i.closes())
	}
	return err
}

// Read is how many bytes of the image were read so far.
func (i *Image) Read() int64 { return i.read.Load() }

// valuesAtLeast is the least limit of values, in bytes, for an image of any size.
const valuesAtLeast = 1 << 20

// DB opens the image; to close it calls closed. The image may have been made to do harm: its
// schema runs no code at our expense, nothing is mapped or attached, and no value is larger
// than the image, which has none that is. What a query sorts is in memory: there is no place for temporary files.
func (i *Image) DB(ctx context.Context, closed func() error) (*sql.DB, error) {
	c := &connector{closed: closed, values: min(max(i.size, valuesAtLeast), sqlite.MostValue)}
	var err error
	c.Connector, err = modernc.NewConnector("file:" + imageName + "?mode=ro&immutable=1&vfs=" + i.fileSystem +
		"&_defensive=1&_pragma=query_only(1)&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=mmap_size(0)&_pragma=temp_store(2)")
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	db := sql.OpenDB(c)
	var objects int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects); err != nil && i.size > 0 {
		return nil, errors.Join(i.explain(err), db.Close())
	}
	return db, nil
}

// connector bounds every connection, and frees the image with the *sql.DB.
type connector struct {
	driver.Connector
	values int64 // bytes of the largest one
	closed func() error
}

// Connect opens a connection for the pool.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := sqlite.LimitDriver(conn, c.values); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Close is called by sql.DB.Close after the last connection.
func (c *connector) Close() error { return c.closed() }

// failure is the first read that failed, nil where none did.
func (i *Image) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.first
}

// explain returns why SQLite ended with err: the read that failed, if one did.
func (i *Image) explain(err error) error {
	if first := i.failure(); first != nil {
		return first
	}
	return err
}

// ReadAt reads from the image, and has the first failure reported.
func (i *Image) ReadAt(b []byte, off int64) (int, error) {
	if i.kept.read(b, off) {
		return len(b), nil
	}
	n, err := i.pages.ReadAt(b, off)
	done := i.read.Add(int64(n))
	if progress := i.progress.Load(); progress != nil {
		(*progress)(min(done, i.size), i.size)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		i.Failed(err)
	}
	return n, err
}

// Failed takes note of a read of the pages that failed, here or next to the image. The first one is reported.
func (i *Image) Failed(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.first == nil {
		i.first = err
		if i.failed != nil {
			i.failed(err)
		}
	}
}

// imageName is the only file of an imageFS.
const imageName = "image.db"

// imageFS shows an image as the one file of a read-only file system.
type imageFS struct{ image *Image }

func (f imageFS) Open(name string) (fs.File, error) {
	if name != imageName {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &imageFile{io.NewSectionReader(f.image, 0, f.image.size), f.image.at}, nil
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
