package capture

import (
	"context"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/livedb"
)

// Doubt is why a state may be of another history than the captures before it.
type Doubt int

const (
	NoDoubt   Doubt = iota
	OtherFile       // the database is another file
	Behind          // commits that were captured are gone
)

// SetGate has every look ask, with its state pinned and before it appends, whether it may: an error
// of may ends it, with nothing changed. reason is for people.
func (c *Chain) SetGate(may func(d Doubt, reason string) error) { c.may = may }

// ask asks the gate.
func (c *Chain) ask(d Doubt, reason string) error {
	if c.may == nil {
		return nil
	}
	return c.may(d, reason)
}

// Within is Capture in a transaction of the caller's, on the database's main file itself; files
// are as they were before it began.
func (c *Chain) Within(ctx context.Context, tx *livedb.Tx, files livedb.Fingerprint, now func() time.Time) (Outcome, error) {
	return c.capture(ctx, tx, files, now)
}

// Distrust has the next look compare all pages, as a proof demands that failed.
func (c *Chain) Distrust() { c.at = Source{} }

// State is the newest state: its capture, 0 for the base's, and the sum of its image.
func (c *Chain) State() (seq uint64, sum string) { return c.seq, c.sum.Digits() }

// Source is where the last look found the database.
func (c *Chain) Source() Source { return c.at }

// Has reports whether the newest state has a page with this digest.
func (c *Chain) Has(pgno int64, d archive.Digest) bool {
	return pgno <= int64(len(c.digests)) && c.digests[pgno-1] == d
}
