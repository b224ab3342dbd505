package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// guarded are all routes of the real table that need a right, with a path to try.
func guarded(t *testing.T) (all []route, paths []string) {
	t.Helper()
	for _, rt := range routes() {
		if rt.right == "" {
			continue
		}
		all = append(all, rt)
		paths = append(paths, DefaultAPIPrefix+pathParameter.ReplaceAllString(rt.path, "x"))
	}
	if len(all) < 20 {
		t.Fatalf("only %d routes need a right", len(all))
	}
	return all, paths
}

// realRoutes are what newChain does not have itself.
func realRoutes() []route { return append(serviceRoutes(), openapiRoutes()...) }

// If this fails, one of the real routes lacks what the others have: no handler may
// run for a stranger, for another site, or with a body that is no JSON. Their
// handlers would panic here, for there is no manager behind them.
func TestEveryRouteIsGuarded(t *testing.T) {
	c := newChain(t, realRoutes(), Options{})
	line := c.signIn()
	table, paths := guarded(t)
	for i, rt := range table {
		t.Run(rt.method+" "+rt.path, func(t *testing.T) {
			path := paths[i]
			want(t, c.do(rt.method, path, "", "anonymous"), 401, "unauthorized")
			want(t, c.do(rt.method, path, "", "Authorization: Bearer wrong", "RemoteAddr: "+freshAddress()), 401, "unauthorized")
			want(t, c.do(rt.method, path, "", "Cookie: "+c.auth.CookieName()+"=wrong"), 401, "unauthorized")
			if rt.method == http.MethodGet {
				if w := c.do(http.MethodHead, path, "", "anonymous"); w.Code != 401 && (!rt.stream || w.Code != 405) {
					t.Errorf("HEAD: %d", w.Code)
				}
				want(t, c.do(rt.method, path, `{"a":1}`), 422, "invalid")
				return
			}
			for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: http://evil.test", "Origin: null"} {
				want(t, c.do(rt.method, path, "", header, line), 403, "cross_origin")
			}
			if rt.body == 0 {
				want(t, c.do(rt.method, path, `{"a":1}`, line), 422, "invalid")
				return
			}
			want(t, c.do(rt.method, path, "{}", line, "Content-Type: text/plain"), 415, "unsupported_media_type")
			want(t, c.do(rt.method, path, "a=b", line, "Content-Type: application/x-www-form-urlencoded"), 415, "unsupported_media_type")
			want(t, c.do(rt.method, path, strings.Repeat(" ", int(rt.body)+1), line), 413, "too_large")
			want(t, c.do(rt.method, path, "[]", line), 422, "invalid")
			want(t, c.do(rt.method, path, `{"unknown":1}`, line), 422, "invalid")
		})
	}
	if strings.Contains(c.log.String(), "panic") {
		t.Errorf("a handler ran: %s", c.log)
	}
}

// If this fails, a route asks for less than its right.
func TestEveryRouteNeedsItsRight(t *testing.T) {
	var rights []Right
	c := newChain(t, realRoutes(), Options{Authorize: func(*http.Request) (Principal, error) { return Principal{Name: "bob", Rights: rights}, nil }})
	table, paths := guarded(t)
	for i, rt := range table {
		rights = nil
		for _, right := range AllRights() {
			if right != rt.right {
				rights = append(rights, right)
			}
		}
		p := want(t, c.do(rt.method, paths[i], ""), 403, "forbidden")
		if !strings.Contains(p.Detail, string(rt.right)) {
			t.Errorf("%s %s: %s", rt.method, rt.path, p.Detail)
		}
	}
}

// If this fails, strangers learn from the open routes more than they are meant to.
func TestWhatIsOpen(t *testing.T) {
	var open []string
	for _, rt := range routes() {
		if rt.right == "" {
			open = append(open, rt.method+" "+rt.path)
		}
	}
	const want = "GET /session, POST /session, DELETE /session, GET /openapi.json, GET /healthz, GET /readyz, GET /metrics"
	if got := strings.Join(open, ", "); got != want {
		t.Errorf("open are %s", got)
	}
	c := newChain(t, realRoutes(), Options{})
	for _, path := range []string{"/api/v1/session", "/metrics"} {
		if w := c.do("GET", path, "", "anonymous"); w.Code != 401 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// If this fails, requests that come while the server closes down crash it, hang, or
// begin a service that is never ended.
func TestRequestsWhileClosing(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	line := c.signIn()
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			<-start
			for j := range 20 {
				var w *httptest.ResponseRecorder
				switch (i + j) % 4 {
				case 0:
					w = c.do("GET", "/api/v1/things", "", line)
				case 1:
					w = c.do("POST", "/api/v1/things", `{"note":"x"}`)
				case 2:
					w = c.do("POST", "/api/v1/session", `{"token":"`+chainToken+`"}`, "anonymous", "RemoteAddr: "+freshAddress())
				case 3:
					w = c.do("GET", "/api/v1/things", "", fmt.Sprintf("Authorization: Bearer %d", i), "RemoteAddr: "+freshAddress())
				}
				if w.Code != 200 && w.Code != 204 && w.Code != 401 && w.Code != 503 {
					t.Errorf("answered %d: %s", w.Code, w.Body)
				}
			}
		})
	}
	close(start)
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	for _, path := range []string{"/api/v1/things", "/web/admin/backups/", "/healthz", "/nowhere"} {
		want(t, c.do("GET", path, "", line), 503, "unavailable")
	}
	all.Wait()
}
