package httpapi

import (
	"slices"
	"sync"
	"time"
)

// How many different wrong tokens are answered. A token that this program made cannot be
// guessed, and its holder is never held back; one that a person chose is protected by these.
const (
	clientBurst  = 10               // wrong ones from one address at once,
	clientRefill = 30 * time.Second // and then one in this time
	totalBurst   = 100              // wrong ones from everywhere,
	totalRefill  = time.Second      // and then one in this time
	maxClients   = 4096             // addresses remembered
	maxWrong     = 4                // wrong tokens remembered of an address
)

// bucket is how far the wrong tokens so far reach into the future: at `full` it is
// as if there had been none. Its zero value is a full one.
type bucket struct{ full time.Time }

// wait is how long until one more may be taken.
func (b bucket) wait(now time.Time, burst int, refill time.Duration) time.Duration {
	return max(0, max(0, b.full.Sub(now))-time.Duration(burst-1)*refill)
}

func (b *bucket) take(now time.Time, refill time.Duration) {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(refill)
}

// throttle bounds guessing, per address and in total. One address cannot shut out
// another: the total bound refuses logins from addresses that have not been good,
// and never a program's good token. A wrong token that comes again is no further
// guess: a program that was not told of the new token shuts out nobody beside it.
type throttle struct {
	mu      sync.Mutex
	total   bucket
	clients map[string]*visits
}

type visits struct {
	bucket
	last  time.Time
	good  bool        // the last good token is younger than any wrong one
	wrong []tokenHash // the last different ones
}

// judgement of one token.
type judgement int

const (
	tokenGood     judgement = iota
	tokenWrong              // and counted
	tokenRepeated           // wrong, as it was before
	tokenWithheld           // too many were wrong: who sent it must wait
)

func newThrottle() *throttle { return &throttle{clients: make(map[string]*visits)} }

// attempt judges a token from key, of which good says whether it is the right one;
// wait is how long key must, for a withheld one. Judging and counting are one
// step, so that many attempts at the same time are counted as if they came one by one.
func (t *throttle) attempt(key string, now time.Time, sent tokenHash, good, login bool) (j judgement, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[key]
	if c != nil {
		// After the clock went back nobody waits longer than from a full fine.
		if limit := now.Add(2 * clientBurst * clientRefill); c.full.After(limit) {
			c.full = limit
		}
		if wait := c.wait(now, clientBurst, clientRefill); wait > 0 {
			return tokenWithheld, wait
		}
	}
	if limit := now.Add(2 * totalBurst * totalRefill); t.total.full.After(limit) {
		t.total.full = limit
	}
	flooded := t.total.wait(now, totalBurst, totalRefill)
	if good && (flooded == 0 || !login || c != nil && c.good) {
		v := visits{good: true}
		if c != nil {
			v.wrong = c.wrong
		}
		t.remember(key, now, v)
		return tokenGood, 0
	}
	if !good && c != nil && slices.Contains(c.wrong, sent) {
		c.last = now
		return tokenRepeated, 0
	}
	if flooded > 0 {
		return tokenWithheld, flooded
	}
	if c == nil {
		c = t.remember(key, now, visits{})
	}
	c.last, c.good = now, false
	c.wrong = append(c.wrong, sent)
	c.wrong = c.wrong[max(0, len(c.wrong)-maxWrong):]
	c.take(now, clientRefill)
	t.total.take(now, totalRefill)
	return tokenWrong, 0
}

// remember keeps v for key; the one not seen for longest makes room.
func (t *throttle) remember(key string, now time.Time, v visits) *visits {
	if _, known := t.clients[key]; !known && len(t.clients) >= maxClients {
		t.forget(now)
	}
	v.last = now
	t.clients[key] = &v
	return &v
}

func (t *throttle) forget(now time.Time) {
	oldest := ""
	for key, v := range t.clients {
		if !v.good && !v.full.After(now) {
			delete(t.clients, key)
			continue
		}
		if oldest == "" || v.last.Before(t.clients[oldest].last) {
			oldest = key
		}
	}
	if len(t.clients) >= maxClients {
		delete(t.clients, oldest)
	}
}
