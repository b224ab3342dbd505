package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlite/engine"
)

// Interruption works between the instructions of a statement, not inside one call
// of a function. Most of SQLite's functions are linear in their arguments, which
// the value limit bounds. Those below are not, or build something in memory that
// the limit is applied to only afterwards. On an Untrusted connection each is wrapped:
// it runs as ever where its arguments are small, and fails where they are not.

const (
	// maxWork is the largest product of argument sizes, in byte comparisons: some
	// tenths of a second in one call.
	maxWork = 1 << 26
	// maxJSON is the most that the arguments of a JSON function may come to, in
	// bytes times arguments: SQLite keeps several copies of a document, and four
	// documents for each statement.
	maxJSON = 8 << 20
	// watchedSize is the size of all arguments, in bytes, from which on a call may take long.
	watchedSize = 4 << 10
)

// costly is a function that is wrapped, in the form with args arguments; -1 stands for any number.
type costly struct {
	name string
	args int32
	call string // an SQL call of it
	// within reports from the sizes of its text and blob arguments, in bytes, whether a call is cheap.
	within func(sizes []int64) bool
}

func product(sizes []int64) bool { return sizes[0] == 0 || sizes[1] <= maxWork/sizes[0] }

func repeated(limit int64) func([]int64) bool {
	return func(sizes []int64) bool {
		total := int64(0)
		for _, n := range sizes {
			total += n
		}
		return total*int64(len(sizes)) <= limit
	}
}

// indented bounds what json_pretty makes: a line per byte, indented as deeply as
// JSON may be nested (1000).
func indented(sizes []int64) bool {
	indent := int64(4)
	if len(sizes) > 1 {
		indent = max(indent, sizes[1])
	}
	return product([]int64{sizes[0], indent * min(sizes[0], 1000)})
}

var costlyFunctions = sync.OnceValue(func() []costly {
	var list []costly
	add := func(within func([]int64) bool, args int32, names ...string) {
		for _, name := range names {
			n := int(args)
			if n < 0 {
				n = 3 // a number that all of them take
			}
			call := name + "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")"
			list = append(list, costly{name: name, args: args, call: call, within: within})
		}
	}
	add(product, 2, "instr", "trim", "ltrim", "rtrim", "like", "glob", "unhex", "json_patch", "jsonb_patch", "geopoly_overlap", "geopoly_within")
	add(product, 3, "replace", "like")
	add(indented, 1, "json_pretty")
	add(indented, 2, "json_pretty")
	add(repeated(maxWork), -1, "concat", "concat_ws", "printf", "format")
	json := repeated(maxJSON)
	add(json, 1, "json", "jsonb", "json_valid", "json_type", "json_quote", "json_array_length", "json_error_position")
	add(json, 2, "->", "->>", "json_valid", "json_type", "json_array_length")
	for _, name := range []string{"extract", "remove", "set", "insert", "replace", "array_insert", "array", "object"} {
		add(json, -1, "json_"+name, "jsonb_"+name)
	}
	for i := range list {
		switch f := &list[i]; f.name {
		case "->", "->>":
			f.call = "?" + f.name + "?"
		case "json_object", "jsonb_object": // takes pairs
			f.call = f.name + "(?,?)"
		}
	}
	return list
})

// originals finds those of costlyFunctions, once: they are the same on every connection.
var originals = sync.OnceValues(func() (list []engine.Function, err error) {
	c, err := openURI(":memory:", ":memory:", sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for _, f := range costlyFunctions() {
		o, err := c.original(f)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
})

// original takes a function's definition out of a statement that calls it.
func (c *Conn) original(f costly) (o engine.Function, err error) {
	st, err := c.Prepare("SELECT " + f.call)
	if err != nil {
		return o, err
	}
	defer st.Close()
	o, ok := engine.FunctionIn(st.p, f.name)
	if !ok {
		return o, fmt.Errorf("no function in the program of %s", st.sql)
	}
	return o, nil
}

// guarded calls the original where its arguments allow it and the budget is not
// used up: between functions that follow one another in an expression the engine
// does not look at it.
func (c *Conn) guarded(f costly, o engine.Function) engine.Scalar {
	return func(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
		var room [8]int64
		sizes, total := room[:0], int64(0)
		for _, arg := range engine.Pointers(argv, int(argc)) {
			n := int64(0)
			switch sqlite3.Xsqlite3_value_type(tls, arg) {
			case sqlite3.SQLITE_TEXT, sqlite3.SQLITE_BLOB:
				n = int64(sqlite3.Xsqlite3_value_bytes(tls, arg))
			}
			sizes, total = append(sizes, n), total+n
		}
		switch {
		case !f.within(sizes):
			sqlite3.Xsqlite3_result_error_toobig(tls, ctx)
		case total > watchedSize && c.meter.exhausted(0):
			sqlite3.Xsqlite3_result_error_code(tls, ctx, sqlite3.SQLITE_INTERRUPT)
		default:
			o.Call(tls, ctx, argc, argv)
		}
	}
}

// wrapCostly puts the wrappers in the place of the functions.
func (c *Conn) wrapCostly() error {
	list, err := originals()
	if err != nil {
		return fmt.Errorf("wrap functions: %w", err)
	}
	c.wrappers = make([]engine.Scalar, len(list))
	for i, f := range costlyFunctions() {
		c.wrappers[i] = c.guarded(f, list[i])
		name, err := libc.CString(f.name)
		if err != nil {
			return fmt.Errorf("wrap functions: %w", err)
		}
		rc := sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, name, f.args, sqlite3.SQLITE_UTF8|list[i].Flags, list[i].UserData, engine.Address(&c.wrappers[i]), 0, 0, 0)
		libc.Xfree(c.tls, name)
		if rc != sqlite3.SQLITE_OK {
			return c.fail("wrap function "+f.name, rc)
		}
	}
	return nil
}
