package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// bareManager answers nothing but where it is: what a request is refused for
// before its handler runs needs no more.
type bareManager struct {
	manager
	dir string
	log *activityLog
}

// activityLog is what was entered.
type activityLog struct {
	mu      sync.Mutex
	entries []snapshot.Activity
}

func (b bareManager) Record(a snapshot.Activity) {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	b.log.entries = append(b.log.entries, a)
}

// take returns the entries since the last call as "who action outcome detail".
func (l *activityLog) take() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.entries {
		lines = append(lines, strings.Join([]string{a.Who, a.Action, a.Outcome, a.Detail}, " "))
	}
	l.entries = nil
	return lines
}

func (b bareManager) Dir() string      { return b.dir }
func (b bareManager) Database() string { return filepath.Join(filepath.Dir(b.dir), "data.db") }

func (b bareManager) Subscribe(func(snapshot.Event)) (cancel func()) { return func() {} }
func (b bareManager) Revision() (string, error)                      { return "r", nil }

const chainToken = "a-token-of-the-tests-0123456789"

// chain is a handler over a table of its own, with a clock that tests move.
type chain struct {
	*Handler
	t        *testing.T
	log      *lockedBuffer
	activity *activityLog

	mu  sync.Mutex
	now time.Time
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (c *chain) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *chain) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newChain makes a handler in a directory with the token chainToken.
func newChain(t *testing.T, table []route, o Options) *chain {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, DefaultTokenFile), []byte(chainToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return chainIn(t, dir, table, o)
}

func chainIn(t *testing.T, dir string, table []route, o Options) *chain {
	t.Helper()
	c := &chain{t: t, log: &lockedBuffer{}, activity: &activityLog{}, now: time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(c.log, nil))
	}
	if o.HostNames == nil {
		o.HostNames = []string{"snapd.test", "example.com", "x"} // of do, of httptest, and of tests that write to a connection themselves
	}
	o.now = c.clock
	h, err := newHandler(bareManager{dir: dir, log: c.activity}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	h.root = h.chain(h.router(append(sessionRoutes(), table...)))
	c.Handler = h
	return c
}

// do sends one request. header lines are "Name: value"; a good bearer token is
// added unless one begins with "Authorization" or "Cookie", or is "anonymous".
func (c *chain) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(method, "http://snapd.test/", strings.NewReader(body))
	r.Host = "snapd.test"
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	authorised := false
	for _, line := range header {
		name, value, isHeader := strings.Cut(line, ": ")
		switch {
		case name == "RemoteAddr":
			r.RemoteAddr = value
		case isHeader:
			if name == "Content-Type" {
				r.Header.Del(name)
			}
			if value != "" {
				r.Header.Add(name, value)
			}
		}
		authorised = authorised || name == "Authorization" || name == "Cookie" || name == "anonymous"
	}
	if !authorised {
		r.Header.Set("Authorization", "Bearer "+chainToken)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

// want asserts the status, and for errors that the answer is a problem with the code.
func want(t *testing.T, w *httptest.ResponseRecorder, status int, code string) problem {
	t.Helper()
	var p problem
	if w.Code != status {
		t.Fatalf("answered %d, want %d: %s", w.Code, status, w.Body)
	}
	if code == "" {
		return p
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("an error is %q", got)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if p.Code != code || p.Status != status || p.Detail == "" || p.Title == "" || p.Type != "about:blank" {
		t.Errorf("the problem is %+v, want code %q", p, code)
	}
	return p
}

// echo answers with who asked.
func echo(_ *Handler, w http.ResponseWriter, c *call) error {
	return writeJSON(w, http.StatusOK, map[string]any{"who": c.who.Name, "id": c.param("id")})
}

// echoBody answers with what it understood of the body.
func echoBody(_ *Handler, w http.ResponseWriter, c *call) error {
	var body struct {
		Note string `json:"note"`
		Pin  *bool  `json:"pin"`
	}
	if err := decode(w, c, &body); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, body)
}

var echoTable = []route{
	{method: "GET", path: "/things", right: RightView, handle: echo},
	{method: "GET", path: "/things/:id", right: RightView, handle: echo},
	{method: "DELETE", path: "/things/:id", right: RightDelete, handle: echo},
	{method: "POST", path: "/things", right: RightCreate, body: smallBody, handle: echoBody},
}

// If this fails, data or deeds are open to who has no token.
func TestRequestsWithoutATokenAreRefused(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	for name, header := range map[string][]string{
		"nothing":             {"anonymous"},
		"empty header":        {"Authorization:  "},
		"bearer alone":        {"Authorization: Bearer"},
		"empty bearer":        {"Authorization: Bearer  "},
		"basic":               {"Authorization: Basic " + chainToken},
		"the token alone":     {"Authorization: " + chainToken},
		"a part":              {"Authorization: Bearer " + chainToken[:len(chainToken)-1]},
		"more":                {"Authorization: Bearer " + chainToken + "x"},
		"other case":          {"Authorization: Bearer " + strings.ToUpper(chainToken)},
		"two headers":         {"Authorization: Bearer " + chainToken, "Authorization: Bearer x"},
		"two good headers":    {"Authorization: Bearer " + chainToken, "Authorization: Bearer " + chainToken},
		"as cookie":           {"Cookie: " + c.auth.CookieName() + "=" + chainToken},
		"cookie of elsewhere": {"Cookie: snapd_00000000=" + strings.Repeat("A", 43)},
		"empty cookie":        {"Cookie: " + c.auth.CookieName() + "="},
	} {
		t.Run(name, func(t *testing.T) {
			for i, method := range []string{"GET", "POST", "DELETE"} {
				target := c.o.APIPrefix + []string{"/things", "/things", "/things/x"}[i]
				w := c.do(method, target, "", append(header, "RemoteAddr: "+freshAddress())...)
				want(t, w, http.StatusUnauthorized, "unauthorized")
				if w.Header().Get("WWW-Authenticate") != `Bearer realm="snapd"` {
					t.Error("a 401 does not say how to sign in")
				}
			}
		})
	}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		want(t, c.do("GET", "/api/v1/things", "", "Authorization: "+scheme+" "+chainToken), http.StatusOK, "")
	}
}

var addresses struct {
	sync.Mutex
	n int
}

// freshAddress returns an address from which no login has failed yet.
func freshAddress() string {
	addresses.Lock()
	defer addresses.Unlock()
	addresses.n++
	return fmt.Sprintf("10.1.%d.%d:1000", addresses.n/250, 1+addresses.n%250)
}
