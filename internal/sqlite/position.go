package sqlite

import (
	"encoding/hex"

	"example.com/snapd/internal/sqlite/engine"
	"example.com/snapd/internal/sqlitefile"
)

// LogPosition is how far into a write-ahead log a read transaction sees.
type LogPosition struct {
	Salts string `json:"salts"` // of the log's generation: bytes 16 to 23 of its header, in hex
	Frame int64  `json:"frame"` // the last one seen, from 1
}

// LogPosition returns the position of the open read transaction; ok is false where
// the database has no log, or nothing in it.
func (c *Conn) LogPosition() (p LogPosition, ok bool) {
	h, ok := c.LogIndex()
	if !ok {
		return p, false
	}
	p.Frame, p.Salts = h.LastFrame, hex.EncodeToString(h.Salts[:])
	return p, p.Frame > 0
}

// LogIndex returns the header of the log's index that the open read transaction goes by; ok
// is false where the database has no log, or one that was never used. The last frame is 0
// where all of the log is in the database file, and the next commit begins it again.
func (c *Conn) LogIndex() (x sqlitefile.WALIndex, ok bool) { return engine.IndexHeader(c.tls, c.db) }
