package auth

import (
	"slices"
	"sync"
	"time"

	"example.com/snapd/internal/ratelimit"
)

// How many different wrong tokens are answered. A random token cannot be guessed, and its
// holder is never throttled; a token that a person chose is protected by these limits.
var (
	clientLimit = ratelimit.Limit{Burst: 10, Every: 30 * time.Second} // from one address
	totalLimit  = ratelimit.Limit{Burst: 100, Every: time.Second}     // from all addresses
)

const (
	maxClients = 4096 // addresses remembered
	maxWrong   = 4    // wrong tokens remembered for an address
)

// throttle bounds guessing, per address and in total. One address cannot shut out another: the
// total limit refuses logins from addresses that never sent a good token, and never a program's
// good token. A repeated wrong token is no further guess: a program that still sends an old
// token shuts out no other client of its address.
type throttle struct {
	mu      sync.Mutex
	total   ratelimit.Bucket
	clients map[string]*visits
}

// visits are the tokens that came from one address.
type visits struct {
	bucket ratelimit.Bucket // of wrong ones
	last   time.Time
	good   bool        // the last good token is younger than any wrong one
	wrong  []tokenHash // the last different ones
}

// judgement of one token.
type judgement int

const (
	tokenGood     judgement = iota
	tokenWrong              // and counted
	tokenRepeated           // wrong, as it was before
	tokenWithheld           // not judged: too many were wrong before
)

func newThrottle() *throttle { return &throttle{clients: make(map[string]*visits)} }

// attempt judges a token from the client key; good says whether it is the right one. For a
// withheld token, wait is the time until the next is judged. Judging and counting are one
// step, so that concurrent attempts are all counted.
func (t *throttle) attempt(key string, now time.Time, sent tokenHash, good, login bool) (j judgement, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[key]
	if c != nil {
		if wait := c.bucket.Wait(now, clientLimit); wait > 0 {
			return tokenWithheld, wait
		}
	}
	flooded := t.total.Wait(now, totalLimit)
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
	c.bucket.Take(now, clientLimit)
	t.total.Take(now, totalLimit)
	return tokenWrong, 0
}

// remember keeps v for key. The client not seen for longest makes room.
func (t *throttle) remember(key string, now time.Time, v visits) *visits {
	if _, known := t.clients[key]; !known && len(t.clients) >= maxClients {
		t.forget(now)
	}
	v.last = now
	t.clients[key] = &v
	return &v
}

// forget drops the clients that no limit concerns or, where there are none, the one not seen
// for longest.
func (t *throttle) forget(now time.Time) {
	oldest := ""
	for key, v := range t.clients {
		if !v.good && v.bucket.Empty(now) {
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
