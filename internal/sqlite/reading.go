package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
)

// ErrNotReading: a statement would do more than read the one database.
var ErrNotReading = errors.New("only a statement that reads is run")

// ErrStatements: a text is not one statement.
var ErrStatements = errors.New("want one statement")

// authorizer is what SQLite asks, while it compiles a statement, before it does something.
type authorizer = func(tls *libc.TLS, arg uintptr, action int32, first, second, database, inner uintptr) int32

// readingPragmas only report. Those with true may have an argument: it says of what.
var readingPragmas = map[string]bool{
	"table_info": true, "table_xinfo": true, "table_list": true, "index_list": true, "index_info": true, "index_xinfo": true,
	"foreign_key_list": true, "foreign_key_check": true, "integrity_check": true, "quick_check": true,
	"application_id": false, "user_version": false, "schema_version": false, "encoding": false, "page_size": false, "page_count": false,
	"freelist_count": false, "auto_vacuum": false, "collation_list": false, "function_list": false, "module_list": false,
	"pragma_list": false, "compile_options": false, "data_version": false, // which full-text search asks
}

// fileFunctions reach files, where the engine or the program has them.
var fileFunctions = []string{"load_extension", "readfile", "writefile", "edit", "fsdir", "zipfile"}

// ReadOnlyFrom has every statement that is compiled from now on refused that does more than read this database:
// it may attach nothing, begin or end no transaction, change no setting, and reach no file.
//
// Statements that write are not refused here but by ReadOne: virtual tables prepare such when they are opened.
func (c *Conn) ReadOnlyFrom() error {
	c.reading.ask = func(_ *libc.TLS, _ uintptr, action int32, first, second, _, _ uintptr) int32 {
		if why := refusedAction(action, first, second); why != "" {
			c.reading.refused = why
			return sqlite3.SQLITE_DENY
		}
		return sqlite3.SQLITE_OK
	}
	if rc := sqlite3.Xsqlite3_set_authorizer(c.tls, c.db, engine.Address(&c.reading.ask), 0); rc != sqlite3.SQLITE_OK {
		return c.fail("read only", rc)
	}
	return nil
}

// reading is what ReadOnlyFrom needs.
type reading struct {
	ask     authorizer // kept here: the engine has its address
	refused string     // by it, while a statement was compiled
}

// refusedAction returns what a statement may not do, "" where it may.
func refusedAction(action int32, first, second uintptr) string {
	switch action {
	case sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE,
		sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE: // see ReadOne
		return ""
	case sqlite3.SQLITE_FUNCTION:
		if name := strings.ToLower(libc.GoString(second)); slices.Contains(fileFunctions, name) {
			return "the function " + name
		}
		return ""
	case sqlite3.SQLITE_PRAGMA:
		name := strings.ToLower(libc.GoString(first))
		if arguments, known := readingPragmas[name]; known && (arguments || second == 0) {
			return ""
		}
		return "PRAGMA " + name
	case sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH:
		return "ATTACH"
	case sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT:
		return "a transaction"
	}
	return "a statement that changes something"
}

// ReadOne compiles the only statement of sql, which must not write. Errors: ErrNotReading, ErrStatements, and SQLite's.
func (c *Conn) ReadOne(ctx context.Context, sql string) (*Stmt, error) {
	if strings.ContainsRune(sql, 0) {
		return nil, fmt.Errorf("%w: there is a zero byte in it", ErrStatements)
	}
	s, tail, err := c.prepareReading(ctx, sql)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("%w: there is none", ErrStatements)
	}
	for rest := tail; strings.TrimSpace(rest) != ""; {
		more, after, err := c.prepareReading(ctx, rest)
		if more != nil {
			more.Close()
		}
		if err != nil || more != nil {
			s.Close()
			return nil, fmt.Errorf("%w: something follows the first one", ErrStatements)
		}
		rest = after
	}
	why := ""
	if sqlite3.Xsqlite3_stmt_readonly(c.tls, s.p) == 0 {
		why = "writes"
	} else if sqlite3.Xsqlite3_column_count(c.tls, s.p) == 0 { // REINDEX, where there is no index
		why = "returns nothing"
	}
	if why != "" {
		s.Close()
		return nil, fmt.Errorf("%w: this one %s", ErrNotReading, why)
	}
	return s, nil
}

// prepareReading is prepare, and says what was refused.
func (c *Conn) prepareReading(ctx context.Context, sql string) (*Stmt, string, error) {
	c.reading.refused = ""
	s, tail, err := c.prepare(ctx, sql)
	if err != nil && c.reading.refused != "" {
		return nil, "", c.reading.refusal()
	}
	return s, tail, err
}

func (r *reading) refusal() error { return fmt.Errorf("%w: %s is refused", ErrNotReading, r.refused) }

// Columns returns the names of the result's columns.
func (s *Stmt) Columns() []string {
	names := make([]string, sqlite3.Xsqlite3_column_count(s.c.tls, s.p))
	for i := range names {
		names[i] = libc.GoString(sqlite3.Xsqlite3_column_name(s.c.tls, s.p, int32(i)))
	}
	return names
}
