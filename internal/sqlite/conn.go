package sqlite

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/libc"
	// The driver's package sets the engine up before anything opens a connection.
	_ "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
	"example.com/snapd/internal/sqlitefile"
)

// Options say how a database file is opened. It is never created.
type Options struct {
	// ReadOnly opens with mode=ro: SQLite can then neither roll back a hot
	// journal nor checkpoint, and does not evaluate CHECK constraints in checks.
	ReadOnly bool
	// Immutable promises that no process changes the file; locks, -wal and -journal
	// are then ignored. For private copies only.
	Immutable bool
	// Untrusted switches on everything that keeps a crafted file from running its
	// schema's code at our expense: defensive, no trusted schema, cell size
	// checks, no memory mapping, values limited to what the file can hold and to
	// MaxValue, functions that cost more than their arguments' sizes limited.
	Untrusted bool
	// VFS names a registered SQLite file system that path is a name in; "" is the
	// operating system's.
	VFS string
	// BusyTimeout is how long a single lock is waited for inside SQLite; 0 means not at all.
	BusyTimeout time.Duration
}

// MaxValue is the largest string or blob, in bytes, that an Untrusted connection
// builds; a small file's connection builds none larger than the file, which holds no
// larger one, or than minValue.
const (
	MaxValue = 16 << 20
	minValue = 1 << 20
)

// Conn is one connection. See the package documentation for concurrency.
type Conn struct {
	tls    *libc.TLS
	db     uintptr
	meter  meter
	broken error // the engine crashed: it is not called any more
	reads  *engine.Reads

	maxValue int32             // the limit of values in bytes; 0 where none was set
	wrappers []engine.Scalar   // kept here: the engine has their addresses
	ahead    *engine.ReadAhead // before the main file; nil for none
	reading  reading
}

// URI returns the SQLite URI of path with the given query, every special
// character of the path escaped.
func URI(path string, query url.Values) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("absolute path of %s: %w", path, err)
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") {
		abs = "/" + abs // C:/x becomes file:///C:/x
	}
	u := url.URL{Path: abs}
	s := "file://" + u.EscapedPath()
	if len(query) > 0 {
		s += "?" + query.Encode()
	}
	return s, nil
}

// Open opens the database file at path. SQLite reads nothing of the file yet:
// damage shows at the first statement.
func Open(path string, o Options) (*Conn, error) {
	q := url.Values{}
	// The host may have switched SQLite's shared cache on for every connection (sqlite3_enable_shared_cache):
	// its locks and its file would be ours as well.
	flags := int32(sqlite3.SQLITE_OPEN_URI | sqlite3.SQLITE_OPEN_FULLMUTEX | sqlite3.SQLITE_OPEN_PRIVATECACHE)
	if o.ReadOnly || o.Immutable {
		flags |= sqlite3.SQLITE_OPEN_READONLY
	} else {
		flags |= sqlite3.SQLITE_OPEN_READWRITE
	}
	if o.Immutable {
		q.Set("immutable", "1")
	}
	uri, err := URI(path, q)
	if err != nil {
		return nil, err
	}
	if o.VFS != "" {
		q.Set("vfs", o.VFS)
		uri = "file:" + url.PathEscape(path) + "?" + q.Encode()
	}
	c, err := openURI(uri, path, flags)
	if err != nil {
		return nil, err
	}
	if err := c.configure(o, path); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// openURI opens what uri names; path is what errors call it.
func openURI(uri, path string, flags int32) (_ *Conn, err error) {
	op := "open " + path
	vfs, err := engine.VFS() // where the URI names none
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	c := &Conn{tls: libc.NewTLS()}
	c.reads = engine.Follow(c.tls)
	defer func() {
		if err != nil {
			engine.Unfollow(c.tls)
			c.tls.Close()
		}
	}()
	zURI, err := libc.CString(uri)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	defer libc.Xfree(c.tls, zURI)
	zVFS, err := libc.CString(vfs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	defer libc.Xfree(c.tls, zVFS)
	pp := libc.Xcalloc(c.tls, 1, libc.Tsize_t(engine.PointerSize))
	if pp == 0 {
		return nil, &Error{Op: op, Code: sqlite3.SQLITE_NOMEM, Msg: "out of memory"}
	}
	defer libc.Xfree(c.tls, pp)
	rc := sqlite3.Xsqlite3_open_v2(c.tls, zURI, pp, flags, zVFS)
	c.db = engine.Pointer(pp)
	if rc == sqlite3.SQLITE_OK {
		sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
		return c, nil
	}
	e := &Error{Op: op, Code: int(rc), Msg: libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))}
	if c.db != 0 {
		if x := sqlite3.Xsqlite3_extended_errcode(c.tls, c.db); x != 0 {
			e.Code = int(x)
		}
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	}
	return nil, e
}

func (c *Conn) configure(o Options, path string) error {
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, int32(o.BusyTimeout.Milliseconds()))
	if err := c.config(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
		return err
	}
	if !o.Untrusted {
		return nil
	}
	if err := c.config(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, true); err != nil {
		return err
	}
	if err := c.config(sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA, false); err != nil {
		return err
	}
	c.maxValue = valueLimit(path)
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, c.maxValue)
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_ATTACHED, 0)
	if err := c.wrapCostly(); err != nil {
		return err
	}
	if o.VFS == "" {
		ahead, rc := engine.Ahead(c.tls, c.db, c.reads)
		if rc != sqlite3.SQLITE_OK {
			return c.fail("read ahead", rc)
		}
		c.ahead = ahead
	}
	return c.Exec(context.Background(), "PRAGMA cell_size_check=1; PRAGMA mmap_size=0")
}

// valueLimit is the value limit for a file with its sidecars.
func valueLimit(path string) int32 {
	size := int64(0)
	for _, suffix := range []string{"", sqlitefile.WALSuffix, sqlitefile.JournalSuffix} {
		if fi, err := os.Stat(path + suffix); err == nil {
			size += fi.Size()
		}
	}
	return int32(min(max(size, minValue), MaxValue))
}

// config sets one boolean SQLITE_DBCONFIG_* switch.
func (c *Conn) config(op int32, on bool) error {
	v := int32(0)
	if on {
		v = 1
	}
	bp := libc.Xmalloc(c.tls, 16)
	if bp == 0 {
		return &Error{Op: "db_config", Code: sqlite3.SQLITE_NOMEM, Msg: "out of memory"}
	}
	defer libc.Xfree(c.tls, bp)
	if rc := sqlite3.Xsqlite3_db_config(c.tls, c.db, op, libc.VaList(bp, v, uintptr(0))); rc != sqlite3.SQLITE_OK {
		return c.fail(fmt.Sprintf("db_config %d", op), rc)
	}
	return nil
}

// CheckpointOnClose restores SQLite's default: closing the last connection of a
// WAL database folds the WAL in and deletes it. Off unless called.
func (c *Conn) CheckpointOnClose() error {
	return c.config(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
}

// Close closes the connection; statements must have been closed. It may be called twice.
func (c *Conn) Close() error {
	if c.db == 0 || c.broken != nil {
		return nil
	}
	rc, err := c.run("close", func() int32 { return sqlite3.Xsqlite3_close(c.tls, c.db) })
	if err != nil {
		return err
	}
	if rc != sqlite3.SQLITE_OK {
		return c.fail("close", rc)
	}
	c.db = 0
	if c.ahead != nil {
		c.ahead.Free(c.tls)
	}
	engine.Unfollow(c.tls)
	c.tls.Close()
	return nil
}

// readFailed returns an error of [ClassIO] once a read of the connection has failed: SQLite
// would call that damage, or list it among the findings of a check. What the connection
// says from then on proves nothing.
func (c *Conn) readFailed(op string) error {
	if err := c.reads.Failed(); err != nil {
		return &Error{Op: op, Code: sqlite3.SQLITE_IOERR_READ, Msg: err.Error(), Err: err}
	}
	return nil
}

// fail makes an Error of rc and the connection's message.
func (c *Conn) fail(op string, rc int32) error {
	if err := c.readFailed(op); err != nil {
		return err
	}
	code := rc
	msg := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if x := sqlite3.Xsqlite3_extended_errcode(c.tls, c.db); x&0xff == rc&0xff && x != 0 {
		code = x
		msg = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return &Error{Op: op, Code: int(code), Msg: msg}
}

// ReadMark returns which of a log's read marks the connection's transaction holds. ok is
// false where it holds none, and on connections that are not Untrusted. Mark 0 is that of
// a transaction that began when the whole log was in the file, and reads the file only.
func (c *Conn) ReadMark() (mark int, ok bool) {
	if c.ahead == nil {
		return 0, false
	}
	return c.ahead.Mark(), c.ahead.Mark() >= 0
}
