package auth

import (
	"fmt"
	"testing"
	"time"
)

// If this fails, guesses from many addresses fill the memory.
func TestThrottleForgetsClients(t *testing.T) {
	th := newThrottle()
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	judged := 0
	for i := range 3 * maxClients {
		now = now.Add(2 * time.Second)
		j, _ := th.attempt(fmt.Sprint("client ", i), now, hashToken(fmt.Sprint("guess ", i)), false, false)
		if j == tokenWrong {
			judged++
		}
		if n := len(th.clients); n > maxClients {
			t.Fatalf("%d addresses are remembered", n)
		}
	}
	if judged != 3*maxClients {
		t.Errorf("%d guesses of %d were counted", judged, 3*maxClients)
	}
	// A throttled client is not forgotten for the sake of idle ones.
	for i := range clientLimit.Burst {
		th.attempt("guesser", now, hashToken(fmt.Sprint("another guess ", i)), false, false)
	}
	if j, wait := th.attempt("guesser", now, hashToken("one more"), false, false); j != tokenWithheld || wait != clientLimit.Every {
		t.Errorf("after the burst: judgement %d, wait %s", j, wait)
	}
}
