package schedule

import "time"

// Backoff decides when what failed is tried again: after a minute, and after twice as long
// each further time, up to an hour. The zero value has nothing to try.
type Backoff struct {
	failures int
	at       time.Time
}

// Failed puts the next attempt off.
func (b *Backoff) Failed(now time.Time) {
	b.failures++
	b.at = now.Add(retryAfter(b.failures))
}

// retryAfter is how long to wait after that many failures.
func retryAfter(failures int) time.Duration { return min(lastRetry, firstRetry<<min(failures-1, 10)) }

// Succeeded forgets the failures.
func (b *Backoff) Succeeded() { *b = Backoff{} }

// Pending reports whether something failed and is to be tried again.
func (b *Backoff) Pending() bool { return b.failures > 0 }

// Due reports whether it is to be tried now.
func (b *Backoff) Due(now time.Time) bool { return b.Pending() && !now.Before(b.at) }
