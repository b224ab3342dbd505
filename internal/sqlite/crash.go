package sqlite

import (
	"fmt"
	"runtime/debug"

	sqlite3 "modernc.org/sqlite/lib"
)

// The engine is C turned into Go: where the C would crash on a crafted file, it
// panics. That says nothing certain about the file, and it must not end the
// program that asked. What the engine held at that moment stays held, so the
// connection is not used again, not even to be closed: its file and its locks are lost
// until the process ends.

// crashed is an error for good: every later call on the connection gives it.
func (c *Conn) crashed(op string, cause any) error {
	c.broken = &Error{Op: op, Code: sqlite3.SQLITE_INTERNAL, Msg: fmt.Sprintf("SQLite crashed: %v", cause)}
	return c.broken
}

// run calls the engine. It turns a panic into an error, and a fault at an address
// that is not mapped, which ends a Go program at once, into a panic.
func (c *Conn) run(op string, call func() int32) (rc int32, err error) {
	if c.broken != nil {
		return 0, c.broken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = c.crashed(op, cause)
		}
	}()
	return call(), nil
}
