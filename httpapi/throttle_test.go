package httpapi

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// If this fails, tokens that people chose can be guessed, or who has the right one
// is kept out for long.
func TestGuessingIsThrottled(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	bearer := func(token string, header ...string) *httptest.ResponseRecorder {
		token = guess(token)
		return c.do("GET", "/api/v1/things", "", append(header, "Authorization: Bearer "+token)...)
	}
	login := func(token string, header ...string) *httptest.ResponseRecorder {
		token = guess(token)
		return c.do("POST", "/api/v1/session", `{"token":"`+token+`"}`, append(header, "anonymous")...)
	}
	for i := range clientBurst {
		if i%2 == 0 {
			want(t, bearer("guess"), 401, "unauthorized")
		} else {
			want(t, login("guess"), 401, "unauthorized")
		}
	}
	for _, w := range []*httptest.ResponseRecorder{bearer("guess"), login("guess"), bearer(chainToken), login(chainToken)} {
		want(t, w, 429, "throttled")
		if w.Header().Get("Retry-After") != "30" {
			t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
		}
	}
	// Others are not kept out.
	want(t, bearer(chainToken, "RemoteAddr: 192.0.2.2:1"), 200, "")
	want(t, login(chainToken, "RemoteAddr: 192.0.2.2:1"), 204, "")
	// Who waits as long as was said may try once more.
	c.pass(29 * time.Second)
	want(t, bearer(chainToken), 429, "throttled")
	c.pass(time.Second)
	want(t, bearer("guess"), 401, "unauthorized")
	want(t, bearer(chainToken), 429, "throttled")
	c.pass(30 * time.Second)
	want(t, bearer(chainToken), 200, "")
	// and the right one makes good for the wrong ones.
	for range clientBurst {
		want(t, bearer("guess"), 401, "unauthorized")
	}
	// A session is no guess, and is not throttled.
	line := c.signIn("RemoteAddr: 192.0.2.2:1")
	want(t, c.do("GET", "/api/v1/things", "", line), 200, "")
	// A clock that goes back by years keeps no client out for years.
	c.pass(-3 * 365 * 24 * time.Hour)
	wait, err := strconv.Atoi(bearer("guess").Header().Get("Retry-After"))
	if err != nil || wait > 20*60 {
		t.Errorf("after the clock went back one waits %d seconds (%v)", wait, err)
	}
}

// The limits that docs/http-api.md promises: different wrong tokens from one address, and from
// all, that are answered at once.
const (
	clientBurst = 10
	totalBurst  = 100
)

var guesses atomic.Int64

// guess makes a new token of "guess", and leaves every other one.
func guess(token string) string {
	if token == "guess" {
		return fmt.Sprintf("guess-number-%08d", guesses.Add(1))
	}
	return token
}

// If this fails, a forgotten program that still sends an old token keeps everyone
// on its machine out, and fills the activity log.
func TestAnOldTokenShutsNoCallerOut(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	for range 5 * clientBurst {
		for _, old := range []string{"the token of last year", "and that before"} {
			want(t, c.do("GET", "/api/v1/things", "", "Authorization: Bearer "+old), 401, "unauthorized")
		}
		c.pass(time.Second)
	}
	c.signIn()
	for range 5 * clientBurst {
		want(t, c.do("GET", "/api/v1/things", ""), 200, "")
		want(t, c.do("GET", "/api/v1/things", "", "Authorization: Bearer the token of last year"), 401, "unauthorized")
	}
	if got := c.activity.take(); len(got) != 3 {
		t.Errorf("the activity log has %q", got)
	}
}

// If this fails, a guesser keeps the administrator and programs out, though no one can
// guess a token that was made here: from the same machine, behind the same proxy, or
// from a few thousand addresses.
func TestWhoHasAMadeTokenIsNotKeptOut(t *testing.T) {
	c := chainIn(t, t.TempDir(), echoTable, Options{})
	_, token, _ := strings.Cut(c.LoginURL(""), "#token=")
	good := func(from string) {
		t.Helper()
		want(t, c.do("GET", "/api/v1/things", "", "Authorization: Bearer "+token, from), 200, "")
		want(t, c.do("POST", "/api/v1/session", `{"token":"`+token+`"}`, "anonymous", from), 204, "")
	}
	wrong := func(from string) int {
		return c.do("GET", "/api/v1/things", "", "Authorization: Bearer "+guess("guess"), from).Code
	}
	one := "RemoteAddr: 127.0.0.1:1"
	for range 2 * clientBurst {
		wrong(one)
	}
	good(one)
	if got := wrong(one); got != 429 {
		t.Errorf("after many wrong tokens and a good one, a wrong one is answered %d", got)
	}
	for i := range 2 * totalBurst {
		wrong(fmt.Sprintf("RemoteAddr: [2001:db8:0:%x::1]:1", i))
	}
	good("RemoteAddr: [2001:db8:1::1]:1")
}

// If this fails, a net of machines guesses without limit, fills the memory or the
// activity log, or locks out programs that have the token.
func TestGuessingFromManyAddresses(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	from := func(i int) string { return fmt.Sprintf("RemoteAddr: [2001:db8:%x:%x::%x]:1", i>>16, i&0xffff, i) }
	bearer := func(token, from string) *httptest.ResponseRecorder {
		token = guess(token)
		return c.do("GET", "/api/v1/things", "", "Authorization: Bearer "+token, from)
	}
	login := func(from string) *httptest.ResponseRecorder {
		return c.do("POST", "/api/v1/session", `{"token":"`+chainToken+`"}`, "anonymous", from)
	}
	known := "RemoteAddr: 198.51.100.7:1"
	want(t, login(known), 204, "")
	for i := range totalBurst {
		want(t, bearer("guess", from(i)), 401, "unauthorized")
	}
	for i := range 50 {
		want(t, bearer("guess", from(1000+i)), 429, "throttled")
	}
	want(t, bearer(chainToken, "RemoteAddr: 203.0.113.1:1"), 200, "")
	want(t, login(from(5000)), 429, "throttled")
	want(t, login(known), 204, "")
	c.pass(time.Minute)
	want(t, login(from(5000)), 204, "")
	if got := len(c.activity.take()); got > recordLimit.Burst+4 {
		t.Errorf("the activity log has %d entries", got)
	}
	c.pass(time.Minute)
	// One household is one client.
	for i := range clientBurst {
		want(t, bearer("guess", fmt.Sprintf("RemoteAddr: [2001:db8:ffff:1::%x]:1", i)), 401, "unauthorized")
	}
	want(t, bearer("guess", "RemoteAddr: [2001:db8:ffff:1:ffff::1%eth0]:1"), 429, "throttled")
	want(t, bearer("guess", "RemoteAddr: [2001:db8:ffff:2::1]:1"), 401, "unauthorized")
}

// If this fails, guesses made at the same time are not all counted.
func TestGuessesAtTheSameTime(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	var mu sync.Mutex
	seen := map[int]int{}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			w := c.do("GET", "/api/v1/things", "", "Authorization: Bearer "+guess("guess"))
			mu.Lock()
			defer mu.Unlock()
			seen[w.Code]++
		})
	}
	all.Wait()
	if seen[401] != clientBurst || seen[429] != 50-clientBurst {
		t.Errorf("answers: %v", seen)
	}
	// As many good ones at once are all let in.
	for range 50 {
		all.Go(func() {
			if w := c.do("GET", "/api/v1/things", "", "RemoteAddr: 192.0.2.9:1"); w.Code != 200 {
				t.Errorf("a good token is answered %d", w.Code)
			}
		})
	}
	all.Wait()
}

// If this fails, a cookie travels in the clear behind a proxy that does TLS, or
// browsers without TLS drop it because a client lied.
func TestSecureCookieBehindAProxy(t *testing.T) {
	c := newChain(t, nil, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, tc := range []struct {
		remote, proto string
		secure        bool
	}{
		{"10.0.0.1:5", "https", true}, {"10.0.0.1:5", "http", false}, {"10.0.0.1:5", "", false}, {"192.0.2.1:5", "https", false},
		{"10.0.0.1:5", "https, http", false}, {"10.0.0.1:5", "http, https", true},
	} {
		w := c.do("POST", "/api/v1/session", `{"token":"`+chainToken+`"}`, "anonymous", "RemoteAddr: "+tc.remote, "X-Forwarded-Proto: "+tc.proto)
		want(t, w, 204, "")
		if got := w.Result().Cookies()[0].Secure; got != tc.secure {
			t.Errorf("%s %q: Secure is %v", tc.remote, tc.proto, got)
		}
	}
}
