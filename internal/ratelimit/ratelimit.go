// Package ratelimit bounds how often something may happen.
package ratelimit

import "time"

// Limit allows Burst events at once, and then one in each Every.
type Limit struct {
	Burst int
	Every time.Duration
}

// Bucket counts the events of one source. Its zero value has seen none. The caller
// serialises access.
type Bucket struct {
	full time.Time // when the events so far no longer count
}

// Wait returns how long it is until one more event is allowed; 0 means now. After the clock
// went back, the wait is at most that of twice the burst.
func (b *Bucket) Wait(now time.Time, l Limit) time.Duration {
	if most := now.Add(time.Duration(2*l.Burst) * l.Every); b.full.After(most) {
		b.full = most
	}
	return max(0, max(0, b.full.Sub(now))-time.Duration(l.Burst-1)*l.Every)
}

// Take counts one event.
func (b *Bucket) Take(now time.Time, l Limit) {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(l.Every)
}

// Empty reports whether no event counts any more.
func (b *Bucket) Empty(now time.Time) bool { return !b.full.After(now) }
