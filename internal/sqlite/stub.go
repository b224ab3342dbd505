package sqlite

import (
	"context"
	"fmt"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
)

// nothing is a function that returns NULL for any arguments.
var nothing engine.Scalar = func(tls *libc.TLS, ctx uintptr, _ int32, _ uintptr) { sqlite3.Xsqlite3_result_null(tls, ctx) }

// same is a collation to which all text is equal.
var same = func(*libc.TLS, uintptr, int32, uintptr, int32, uintptr) int32 { return 0 }

// StubFunctions has every function that the engine knows give NULL from now on, so
// that expressions of a schema cost nothing; what they say is then worth nothing.
func (c *Conn) StubFunctions(ctx context.Context) error {
	type form struct {
		name string
		args int64
	}
	var forms []form
	err := c.Each(ctx, "PRAGMA function_list", func(s *Stmt) error {
		// In the text of a UTF-16 database every other byte of a plain name is zero.
		plain := func(i int) string { return strings.ReplaceAll(s.Text(i), "\x00", "") }
		if plain(2) == "s" { // scalar
			forms = append(forms, form{plain(0), max(s.Int(4), -1)}) // below -1: a least number
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range forms {
		if err := c.stubFunction(f.name, int32(f.args)); err != nil {
			return err
		}
	}
	return nil
}

// StubUnknown defines what err says there is none of, a function or collation, as
// one that gives NULL or calls everything equal. ok is false where err is about
// something else.
func (c *Conn) StubUnknown(err error) (ok bool, _ error) {
	e := asError(err)
	if e == nil {
		return false, nil
	}
	for _, prefix := range []string{"no such function: ", "unknown function: "} {
		if _, name, found := strings.Cut(e.Msg, prefix); found {
			return true, c.stubFunction(strings.TrimSuffix(name, "()"), -1)
		}
	}
	if _, name, found := strings.Cut(e.Msg, "no such collation sequence: "); found {
		return true, c.stubCollation(name)
	}
	return false, nil
}

func (c *Conn) stubFunction(name string, args int32) error {
	z, err := libc.CString(name)
	if err != nil {
		return fmt.Errorf("stub function: %w", err)
	}
	defer libc.Xfree(c.tls, z)
	const flags = sqlite3.SQLITE_UTF8 | sqlite3.SQLITE_DETERMINISTIC | sqlite3.SQLITE_INNOCUOUS
	rc := sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, z, args, flags, 0, engine.Address(&nothing), 0, 0, 0)
	if rc != sqlite3.SQLITE_OK {
		return c.fail("stub function "+name, rc)
	}
	return nil
}

func (c *Conn) stubCollation(name string) error {
	z, err := libc.CString(name)
	if err != nil {
		return fmt.Errorf("stub collation: %w", err)
	}
	defer libc.Xfree(c.tls, z)
	rc := sqlite3.Xsqlite3_create_collation_v2(c.tls, c.db, z, sqlite3.SQLITE_UTF8, 0, engine.Address(&same), 0)
	if rc != sqlite3.SQLITE_OK {
		return c.fail("stub collation "+name, rc)
	}
	return nil
}
