package snapshot

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	modernc "modernc.org/sqlite"
	"modernc.org/sqlite/vfs"

	"example.com/snapd/internal/archive"
)

// OpenBackup opens the database inside a backup for reading, straight from the
// archive: nothing is restored, frames are decompressed as pages are asked for
// and kept in a bounded cache. Writing fails. Closing the *sql.DB frees
// everything. Good for queries; a scan of the whole image is faster on a file
// that Restore wrote with RestoreOptions.To.
//
// A damaged archive is [ErrCorrupt], with the frame, and the backup is marked failed.
// Damage beyond the schema shows when a query needs those pages: the query fails with
// SQLite's error, and the backup is marked failed then. Other errors: [ErrNotFound].
func (m *Manager) OpenBackup(ctx context.Context, id string) (*sql.DB, error) {
	e, err := m.cat.Get(id)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	r, err := m.openArchive(e)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", explain(m.condemn(ctx, e, err)))
	}
	c := &backupConnector{archive: r}
	image := &provenImage{Reader: r, failed: func(err error) { m.readFailed(context.WithoutCancel(ctx), e, err) }}
	name, files, err := vfs.New(imageFS{image, e.CreatedAt})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open backup: %w", err), r.Close())
	}
	c.files = files
	c.Connector, err = modernc.NewConnector("file:" + imageName + "?mode=ro&immutable=1&vfs=" + name + "&_pragma=query_only(1)&_pragma=trusted_schema(0)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open backup: %w", err), c.Close())
	}
	db := sql.OpenDB(c)
	var objects int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects); err != nil && e.DatabaseBytes > 0 {
		if damage := image.failure(); damage != nil {
			err = fmt.Errorf("backup %s: %w", e.ID, damage)
		}
		return nil, errors.Join(fmt.Errorf("open backup: %w", explain(err)), db.Close())
	}
	return db, nil
}

// readFailed marks the backup failed whose archive could not be read, where err proves
// it damaged, and reports it.
func (m *Manager) readFailed(ctx context.Context, e Backup, err error) {
	if err = m.condemn(ctx, e, fmt.Errorf("backup %s: %w", e.ID, err)); errors.Is(explain(err), ErrCorrupt) {
		m.ev.emit(ctx, Event{Type: EventWarning, Backup: e.ID, Path: m.cat.Path(e), Err: explain(err), Message: "an open backup is damaged"})
	}
}

// provenImage is the image of an archive that remembers the first read that failed.
type provenImage struct {
	*archive.Reader
	failed func(error) // called once

	mu    sync.Mutex
	first error
}

func (p *provenImage) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.Reader.ReadAt(b, off)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		p.first = err
		p.failed(err)
	}
	return n, err
}

// failure is the error of the first read that failed its proof: SQLite only says that it
// could not read.
func (p *provenImage) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(explain(p.first), ErrCorrupt) {
		return p.first
	}
	return nil
}

// imageName is the only file of an imageFS.
const imageName = "image.db"

// backupConnector frees the archive with the *sql.DB.
type backupConnector struct {
	driver.Connector
	files   *vfs.FS
	archive *archive.Reader
}

// Close is called by sql.DB.Close after the last connection.
func (c *backupConnector) Close() error {
	return errors.Join(c.files.Close(), c.archive.Close())
}

// imageFS shows an archive's image as the one file of a read-only file system.
type imageFS struct {
	r  *provenImage
	at time.Time
}

func (f imageFS) Open(name string) (fs.File, error) {
	if name != imageName {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &imageFile{SectionReader: io.NewSectionReader(f.r, 0, f.r.Info().ImageBytes), at: f.at}, nil
}

// imageFile is the image, with Read and Seek from the section reader.
type imageFile struct {
	*io.SectionReader
	at time.Time
}

func (f *imageFile) Stat() (fs.FileInfo, error) { return imageInfo{f}, nil }
func (f *imageFile) Close() error               { return nil }

type imageInfo struct{ f *imageFile }

func (i imageInfo) Name() string       { return imageName }
func (i imageInfo) Size() int64        { return i.f.Size() }
func (i imageInfo) Mode() fs.FileMode  { return 0o400 }
func (i imageInfo) ModTime() time.Time { return i.f.at }
func (i imageInfo) IsDir() bool        { return false }
func (i imageInfo) Sys() any           { return nil }
