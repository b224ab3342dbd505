package sqlite

import (
	"context"
	"fmt"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
)

// Stmt is one prepared statement. Values read from it are valid until the next
// Step, Reset or Close.
type Stmt struct {
	c   *Conn
	sql string
	p   uintptr
}

// Prepare compiles the first statement of sql.
func (c *Conn) Prepare(sql string) (*Stmt, error) {
	s, _, err := c.prepare(context.Background(), sql)
	return s, err
}

// prepare is interrupted when ctx ends: with the first statement SQLite reads the schema.
func (c *Conn) prepare(ctx context.Context, sql string) (s *Stmt, tail string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	zSQL, err := libc.CString(sql)
	if err != nil {
		return nil, "", fmt.Errorf("prepare: %w", err)
	}
	defer libc.Xfree(c.tls, zSQL)
	out := libc.Xcalloc(c.tls, 2, libc.Tsize_t(engine.PointerSize))
	if out == 0 {
		return nil, "", &Error{Op: "prepare", Code: sqlite3.SQLITE_NOMEM, Msg: "out of memory"}
	}
	defer libc.Xfree(c.tls, out)
	pTail := out + engine.PointerSize
	end := c.watch(ctx)
	rc, err := c.run(sql, func() int32 { return sqlite3.Xsqlite3_prepare_v2(c.tls, c.db, zSQL, -1, out, pTail) })
	end()
	switch {
	case err != nil:
		return nil, "", err
	case rc&0xff == sqlite3.SQLITE_INTERRUPT:
		return nil, "", c.interrupted(ctx, sql)
	case rc != sqlite3.SQLITE_OK:
		return nil, "", c.fail(sql, rc)
	}
	tail = sql[engine.Pointer(pTail)-zSQL:]
	p := engine.Pointer(out)
	if p == 0 {
		return nil, tail, nil // only white space or a comment
	}
	c.fit(p)
	return &Stmt{c: c, sql: sql, p: p}, tail, nil
}

// Exec runs every statement of sql and ignores rows. When ctx ends a running
// statement is interrupted and the context's error returned.
func (c *Conn) Exec(ctx context.Context, sql string) error {
	for strings.TrimSpace(sql) != "" {
		s, tail, err := c.prepare(ctx, sql)
		if err != nil {
			return err
		}
		sql = tail
		if s == nil {
			continue
		}
		for {
			more, err := s.Step(ctx)
			if err != nil {
				s.Close()
				return err
			}
			if !more {
				break
			}
		}
		s.Close()
	}
	return nil
}

// Each runs sql and calls fn for each row until fn or the engine fails.
func (c *Conn) Each(ctx context.Context, sql string, fn func(*Stmt) error) error {
	s, _, err := c.prepare(ctx, sql)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		more, err := s.Step(ctx)
		if err != nil || !more {
			return err
		}
		if err := fn(s); err != nil {
			return err
		}
	}
}

// Int returns the first column of the first row of sql.
func (c *Conn) Int(ctx context.Context, sql string) (int64, error) {
	var v int64
	found := false
	err := c.Each(ctx, sql, func(s *Stmt) error {
		if !found {
			v, found = s.Int(0), true
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%s: no row", sql)
	}
	return v, err
}

// Text is Int for text.
func (c *Conn) Text(ctx context.Context, sql string) (string, error) {
	var v string
	found := false
	err := c.Each(ctx, sql, func(s *Stmt) error {
		if !found {
			v, found = s.Text(0), true
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%s: no row", sql)
	}
	return v, err
}

// Step advances to the next row; more is false at the end. When ctx ends the
// statement is interrupted and the context's error returned.
func (s *Stmt) Step(ctx context.Context) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	end := s.c.watch(ctx)
	rc, err := s.c.run(s.sql, s.step)
	end()
	return s.stepped(ctx, rc, err)
}

// StepFast is Step without a watch on ctx, for statements whose single steps
// are short (reading one page): the caller looks at its context between steps.
func (s *Stmt) StepFast() (more bool, err error) {
	rc, err := s.c.run(s.sql, s.step)
	return s.stepped(context.Background(), rc, err)
}

func (s *Stmt) step() int32 { return sqlite3.Xsqlite3_step(s.c.tls, s.p) }

func (s *Stmt) stepped(ctx context.Context, rc int32, err error) (bool, error) {
	switch {
	case err != nil:
		return false, err
	case s.c.reads.Failed() != nil:
		return false, s.c.readFailed(s.sql)
	case rc == sqlite3.SQLITE_ROW:
		return true, nil
	case rc == sqlite3.SQLITE_DONE:
		return false, nil
	case rc&0xff == sqlite3.SQLITE_INTERRUPT:
		return false, s.c.interrupted(ctx, s.sql)
	case rc&0xff == sqlite3.SQLITE_AUTH && s.c.reading.refused != "": // by what a function or virtual table runs
		return false, s.c.reading.refusal()
	}
	return false, s.c.fail(s.sql, rc)
}

// Int returns column i as an integer.
func (s *Stmt) Int(i int) int64 {
	return int64(sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(i)))
}

// Text returns column i as UTF-8 text, copied, for any encoding of the database.
func (s *Stmt) Text(i int) string {
	p := sqlite3.Xsqlite3_column_text(s.c.tls, s.p, int32(i))
	n := sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i))
	return string(engine.Bytes(p, int(n)))
}

// Blob returns column i's bytes, borrowed: valid until the next Step, Reset or Close.
func (s *Stmt) Blob(i int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i))
	n := sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i))
	return engine.Bytes(p, int(n))
}

// IsNull reports whether column i is NULL.
func (s *Stmt) IsNull(i int) bool {
	return sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(i)) == sqlite3.SQLITE_NULL
}

// BindInt binds parameter i, counted from 1.
func (s *Stmt) BindInt(i int, v int64) error {
	return s.bound(sqlite3.Xsqlite3_bind_int64(s.c.tls, s.p, int32(i), sqlite3.Tsqlite_int64(v)))
}

// BindNull binds parameter i, counted from 1, to NULL.
func (s *Stmt) BindNull(i int) error {
	return s.bound(sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, int32(i)))
}

// BindBlob binds parameter i, counted from 1, to a copy of b.
func (s *Stmt) BindBlob(i int, b []byte) error {
	if len(b) == 0 {
		return s.bound(sqlite3.Xsqlite3_bind_zeroblob(s.c.tls, s.p, int32(i), 0))
	}
	m := libc.Xmalloc(s.c.tls, libc.Tsize_t(len(b)))
	if m == 0 {
		return &Error{Op: "bind", Code: sqlite3.SQLITE_NOMEM, Msg: "out of memory"}
	}
	defer libc.Xfree(s.c.tls, m)
	copy(engine.Bytes(m, len(b)), b)
	const transient = ^uintptr(0) // SQLITE_TRANSIENT: SQLite copies
	return s.bound(sqlite3.Xsqlite3_bind_blob(s.c.tls, s.p, int32(i), m, int32(len(b)), transient))
}

func (s *Stmt) bound(rc int32) error {
	if rc != sqlite3.SQLITE_OK {
		return s.c.fail("bind", rc)
	}
	return nil
}

// Reset makes the statement ready to run again; bindings stay.
func (s *Stmt) Reset() {
	// Its result repeats the last step's; a crash is remembered.
	_, _ = s.c.run(s.sql, func() int32 { return sqlite3.Xsqlite3_reset(s.c.tls, s.p) })
}

// Close ends the statement. It may be called twice.
func (s *Stmt) Close() {
	if s.p != 0 && s.c.broken == nil {
		// Its result repeats the last step's; a crash is remembered.
		_, _ = s.c.run(s.sql, func() int32 { return sqlite3.Xsqlite3_finalize(s.c.tls, s.p) })
	}
	s.p = 0
}
