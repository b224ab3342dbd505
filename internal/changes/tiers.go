package changes

import (
	"fmt"
	"time"

	"example.com/snapd/internal/durable"
)

// Tier keeps one capture each Every, of those that are up to Until old. Every 0 keeps all.
type Tier struct{ Every, Until time.Duration }

// Tiers say which captures stay, the youngest first. Of those older than the last tier none stays by itself.
type Tiers []Tier

// DefaultTiers keep all captures for 48 hours, then one each 5 minutes for 7 days, then one
// an hour for 30 days.
var DefaultTiers = Tiers{{0, 48 * time.Hour}, {5 * time.Minute, 7 * 24 * time.Hour}, {time.Hour, 30 * 24 * time.Hour}}

// Keep is a keep for Thin: of the captures in each period the first one after its beginning. It
// goes by the capture alone, so that thinning again changes nothing.
func (t Tiers) Keep(now time.Time) func(Capture) bool {
	return func(c Capture) bool {
		age := now.Sub(c.At)
		for _, tier := range t {
			if age <= tier.Until {
				return tier.Every == 0 || !c.At.Truncate(tier.Every).Equal(c.From.Truncate(tier.Every))
			}
		}
		return false
	}
}

// DropBefore removes the sealed segments that have no capture after one: a base that has them
// is kept, or nothing builds on them any more. The last capture stays: those that come are numbered after it.
func (l *Log) DropBefore(seq uint64) error {
	for len(l.sealed) > 0 && l.sealed[0].Last <= seq && (len(l.sealed) > 1 || len(l.list) > 0) {
		if err := durable.Remove(l.path(l.sealed[0])); err != nil {
			return fmt.Errorf("drop a part of the change log: %w", err)
		}
		l.sealed = l.sealed[1:]
	}
	return nil
}
