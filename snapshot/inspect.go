package snapshot

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	modernc "modernc.org/sqlite"
	"modernc.org/sqlite/vfs"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/sqlite"
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
func (m *Manager) OpenBackup(ctx context.Context, id string) (_ *sql.DB, err error) {
	image, err := m.openImage(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	c := &backupConnector{image: image}
	c.Connector, err = modernc.NewConnector("file:" + imageName + "?mode=ro&immutable=1&vfs=" + image.fileSystem +
		"&_pragma=query_only(1)&_pragma=trusted_schema(0)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open backup: %w", err), c.Close())
	}
	db := sql.OpenDB(c)
	var objects int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects); err != nil && image.backup.DatabaseBytes > 0 {
		return nil, errors.Join(fmt.Errorf("open backup: %w", image.explain(err)), db.Close())
	}
	return db, nil
}

// backupConnector frees the image with the *sql.DB.
type backupConnector struct {
	driver.Connector
	image *openImage
}

// Close is called by sql.DB.Close after the last connection.
func (c *backupConnector) Close() error { return c.image.close() }

// Table is a table, view or virtual table inside a backup.
type Table struct {
	Name string `json:"name"`
	Type string `json:"type"` // "table", "view" or "virtual"
	// Columns that a query sees; 0 where that could not be found out, e.g. of a view on a
	// table that is gone.
	Columns int `json:"columns"`
	// Rows is nil for a view or a virtual table, and where counting took too long.
	Rows *int64 `json:"rows"`
}

const (
	// maxTables and maxTableNames (bytes) bound what Tables returns.
	maxTables     = 10_000
	maxTableNames = 4 << 20
	// tablesTime is for everything: reading the schema, and counting in what is left.
	tablesTime = 2 * time.Second
	// viewTime is for finding the columns of one view or virtual table: SQLite
	// compiles the view, or connects to the module, for that.
	viewTime = 100 * time.Millisecond
	// tablesMemory is how much the process may grow, in bytes, over a schema.
	tablesMemory = 64 << 20
)

// Tables lists what is in a backup, by name, straight from the archive: nothing is
// restored, no view is evaluated and no virtual table queried. SQLite's own tables,
// and those in which virtual tables keep their content, are left out. It takes some
// two seconds at most, for any schema. Errors: [ErrNotFound],
// [ErrCorrupt], [ErrRefused] for a schema of too many tables.
func (m *Manager) Tables(ctx context.Context, id string) (_ []Table, err error) {
	image, err := m.openImage(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	defer func() { err = errors.Join(err, image.close()) }()
	list, err := tablesIn(ctx, image.fileSystem)
	if err != nil {
		return nil, fmt.Errorf("tables: %w", image.explain(err))
	}
	return list, nil
}

// tablesIn lists the tables of the image in the file system of that name.
func tablesIn(ctx context.Context, fileSystem string) (_ []Table, err error) {
	c, err := sqlite.Open(imageName, sqlite.Options{VFS: fileSystem, Immutable: true, Untrusted: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	t := &tableList{c: c, until: time.Now().Add(tablesTime)}
	c.Limit(sqlite.Budget{Time: tablesTime, Memory: tablesMemory})
	if err := t.read(ctx); err != nil {
		switch sqlite.Classify(err) {
		case sqlite.ClassCorrupt, sqlite.ClassNotADB:
			return nil, &sentinelError{ErrCorrupt, err}
		case sqlite.ClassBudget:
			return nil, hint(&sentinelError{ErrRefused, err}, "the schema is out of all proportion; restore the backup to another file and look there")
		}
		return nil, err
	}
	for i := range t.list {
		if err := t.describe(ctx, &t.list[i]); err != nil {
			return nil, err
		}
	}
	return t.list, nil
}

// tableList is the work on one image.
type tableList struct {
	c     *sqlite.Conn
	until time.Time
	list  []Table
}

// shadowSuffixes are the ends of the names of the tables that virtual tables of a
// module keep their content in.
var shadowSuffixes = map[string][]string{
	"fts5":      {"_data", "_idx", "_content", "_docsize", "_config"},
	"fts4":      {"_content", "_segments", "_segdir", "_docsize", "_stat"},
	"fts3":      {"_content", "_segments", "_segdir"},
	"rtree":     {"_node", "_parent", "_rowid"},
	"rtree_i32": {"_node", "_parent", "_rowid"},
	"geopoly":   {"_node", "_parent", "_rowid"},
}

// read reads the names from the schema.
func (t *tableList) read(ctx context.Context) error {
	names, shadows := 0, map[string]bool{}
	const query = `SELECT name, type, CASE WHEN type='table' AND rootpage=0 THEN substr(sql, 1, 2000) END FROM sqlite_schema
		WHERE type IN ('table','view') AND typeof(name)='text' AND lower(substr(name, 1, 7))<>'sqlite_' ORDER BY name`
	err := t.c.Each(ctx, query, func(st *sqlite.Stmt) error {
		table := Table{Name: st.Text(0), Type: st.Text(1)}
		if sql := st.Text(2); sql != "" {
			table.Type = "virtual"
			for _, suffix := range shadowSuffixes[moduleOf(sql)] {
				shadows[strings.ToLower(table.Name+suffix)] = true
			}
		}
		if names += len(table.Name); len(t.list) == maxTables || names > maxTableNames {
			return hint(fmt.Errorf("%w: more than %d tables, or names of more than %d bytes", ErrRefused, maxTables, maxTableNames),
				"restore the backup to another file and look there")
		}
		t.list = append(t.list, table)
		return nil
	})
	if err != nil {
		return err
	}
	kept := t.list[:0]
	for _, table := range t.list {
		if table.Type != "table" || !shadows[strings.ToLower(table.Name)] {
			kept = append(kept, table)
		}
	}
	t.list = kept
	return nil
}

// moduleOf is the module that a virtual table's SQL names, in lower case; "" where
// it is not written in the usual way.
func moduleOf(sql string) string {
	words := strings.Fields(strings.ToLower(sql))
	for i, word := range words {
		if word == "using" && i+1 < len(words) {
			name, _, _ := strings.Cut(words[i+1], "(")
			return name
		}
	}
	return ""
}

// describe finds the columns and counts the rows, in the time that is left. What
// cannot be found stays unknown: only the end of ctx is an error.
func (t *tableList) describe(ctx context.Context, table *Table) error {
	if !utf8.ValidString(table.Name) || strings.ContainsRune(table.Name, 0) {
		table.Name = strings.ReplaceAll(strings.ToValidUTF8(table.Name, "\uFFFD"), "\x00", "\uFFFD")
		return ctx.Err() // no SQL can name it
	}
	most := time.Until(t.until)
	if table.Type != "table" {
		most = min(most, viewTime)
	}
	quoted := "'" + strings.ReplaceAll(table.Name, "'", "''") + "'"
	if n := t.ask(ctx, most, "SELECT count(*) FROM pragma_table_xinfo("+quoted+") WHERE hidden<>1"); n != nil {
		table.Columns = int(*n)
	}
	if table.Type == "table" {
		// No table may use up what those after it need.
		name := `"` + strings.ReplaceAll(table.Name, `"`, `""`) + `"`
		table.Rows = t.ask(ctx, time.Until(t.until)/2, "SELECT count(*) FROM main."+name)
	}
	return ctx.Err()
}

// ask returns a number, nil where it cannot be had in time. Counting is a single
// instruction that looks for an interrupt only, not at the budget.
func (t *tableList) ask(ctx context.Context, most time.Duration, query string) *int64 {
	if most <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	t.c.Limit(sqlite.Budget{Time: most, Memory: tablesMemory})
	n, err := t.c.Int(ctx, query)
	if err != nil {
		return nil
	}
	return &n
}

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
