package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// If this fails, a page of another site can make an administrator's browser change
// something here.
func TestOtherSitesChangeNothing(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	line := c.signIn()
	for name, tc := range map[string]struct {
		header []string
		body   string
		status int
		code   string
	}{
		"the page itself":     {[]string{"Sec-Fetch-Site: same-origin", "Origin: http://snapd.test"}, `{}`, 200, ""},
		"a program":           {nil, `{}`, 200, ""},
		"an older browser":    {[]string{"Origin: http://snapd.test"}, `{}`, 200, ""},
		"cross-site":          {[]string{"Sec-Fetch-Site: cross-site", "Origin: http://evil.test"}, `{}`, 403, "cross_origin"},
		"cross, no origin":    {[]string{"Sec-Fetch-Site: cross-site"}, `{}`, 403, "cross_origin"},
		"a sister host":       {[]string{"Sec-Fetch-Site: same-site", "Origin: http://a.snapd.test"}, `{}`, 403, "cross_origin"},
		"another origin":      {[]string{"Origin: http://evil.test"}, `{}`, 403, "cross_origin"},
		"another port":        {[]string{"Origin: http://snapd.test:81"}, `{}`, 403, "cross_origin"},
		"no origin at all":    {[]string{"Origin: null"}, `{}`, 403, "cross_origin"},
		"forged host header":  {[]string{"Sec-Fetch-Site: cross-site", "X-Forwarded-Host: evil.test", "Origin: http://evil.test"}, `{}`, 403, "cross_origin"},
		"a form":              {[]string{"Content-Type: application/x-www-form-urlencoded"}, `note=x`, 415, "unsupported_media_type"},
		"a form as text":      {[]string{"Content-Type: text/plain"}, `{"note":"x"}`, 415, "unsupported_media_type"},
		"a form with a file":  {[]string{"Content-Type: multipart/form-data; boundary=x"}, `--x--`, 415, "unsupported_media_type"},
		"no type":             {[]string{"Content-Type: "}, `{}`, 415, "unsupported_media_type"},
		"a type like it":      {[]string{"Content-Type: application/json-seq"}, `{}`, 415, "unsupported_media_type"},
		"another charset":     {[]string{"Content-Type: application/json; charset=utf-16"}, `{}`, 415, "unsupported_media_type"},
		"compressed":          {[]string{"Content-Encoding: gzip"}, `{}`, 415, "unsupported_media_type"},
		"a type with charset": {[]string{"Content-Type: Application/JSON; charset=UTF-8"}, `{}`, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, c.do("POST", "/api/v1/things", tc.body, append(tc.header, line)...), tc.status, tc.code)
		})
	}
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Origin: http://evil.test"} {
		want(t, c.do("DELETE", "/api/v1/things/x", "", header, line), 403, "cross_origin")
		want(t, c.do("POST", "/api/v1/session", `{"token":"`+chainToken+`"}`, header, "anonymous"), 403, "cross_origin")
		want(t, c.do("DELETE", "/api/v1/session", "", header, line), 403, "cross_origin")
	}
	want(t, c.do("GET", "/api/v1/things", "", line), 200, "") // and the session still stands
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		w := c.do(method, "/api/v1/things", "", "Origin: http://evil.test", "Access-Control-Request-Method: POST", line)
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s says %s to another origin", method, name)
			}
		}
	}
}

// If this fails, a header that keeps browsers from doing harm is missing somewhere.
func TestEveryAnswerHasTheHeaders(t *testing.T) {
	table := append([]route{{method: "GET", path: "/panic", handle: func(*Handler, http.ResponseWriter, *call) error { panic("oh") }}}, echoTable...)
	c := newChain(t, table, Options{})
	for _, target := range []string{"GET /api/v1/things", "POST /api/v1/things", "PUT /api/v1/things", "GET /api/v1/session", "GET /nowhere", "GET /api/v1/panic",
		"GET /web/admin/backups/", "GET /web/admin/backups", "GET /web/admin/backups/nowhere.js", "POST /web/admin/backups/", "OPTIONS /api/v1/things", "HEAD /api/v1/things"} {
		method, path, _ := strings.Cut(target, " ")
		w := c.do(method, path, "")
		for name, value := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		} {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s is %q", target, name, got)
			}
		}
		if cached := w.Header().Get("Cache-Control"); strings.HasPrefix(path, "/api") && cached != "no-store" {
			t.Errorf("%s: Cache-Control is %q", target, cached)
		}
	}
}

// If this fails, a body does what its sender did not mean, or costs more than it may.
func TestBodies(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	pad := func(n int) string { return strings.Repeat("x", n) }
	for name, tc := range map[string]struct {
		body   string
		status int
		want   string // in the answer
	}{
		"empty":                {"", 200, `"note":""`},
		"no member":            {"{}", 200, `"pin":null`},
		"all":                  {` {"note":"a","pin":true} ` + "\n", 200, `{"note":"a","pin":true}`},
		"null":                 {`{"note":null}`, 200, `"note":""`},
		"as large as may be":   {`{"note":"` + pad(smallBody-11) + `"}`, 200, `"note"`},
		"one byte more":        {`{"note":"` + pad(smallBody-10) + `"}`, 413, "too_large"},
		"much more":            {pad(1 << 20), 413, "too_large"},
		"space only":           {"  ", 422, "not one JSON object"},
		"cut":                  {`{"note":"a"`, 422, "not one JSON object"},
		"text":                 {`note`, 422, "not one JSON object"},
		"a list":               {`[]`, 422, "not one JSON object"},
		"a string":             {`"note"`, 422, "not one JSON object"},
		"nothing":              {`null`, 422, "not one JSON object"},
		"two":                  {`{}{}`, 422, "not one JSON object"},
		"and more":             {`{} x`, 422, "not one JSON object"},
		"a comma more":         {`{"note":"a",}`, 422, "not one JSON object"},
		"unknown":              {`{"notes":"a"}`, 422, `unknown member \"notes\"`},
		"unknown, with object": {`{"force":{"note":1}}`, 422, `unknown member \"force\"`},
		"other case":           {`{"Note":"a"}`, 422, `unknown member \"Note\"`},
		"twice":                {`{"note":"a","note":"b"}`, 422, `member \"note\" stands twice`},
		"twice, escaped":       {`{"note":"a","n\u006fte":"b"}`, 422, `member \"note\" stands twice`},
		"a number":             {`{"note":1}`, 422, `member \"note\"`},
		"a string for a bool":  {`{"pin":"true"}`, 422, `member \"pin\"`},
		"deep":                 {`{"note":` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + `}`, 422, `member \"note\"`},
		"deep, not closed":     {strings.Repeat(`{"note":`, 2000), 422, "not one JSON object"},
		"not UTF-8":            {"{\"note\":\"\xff\"}", 422, "not UTF-8"},
		"a long unknown name":  {`{"` + pad(5000) + `":1}`, 422, "unknown member"},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.do("POST", "/api/v1/things", tc.body)
			code := map[int]string{413: "too_large", 422: "invalid"}[tc.status]
			want(t, w, tc.status, code)
			if !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("answered %s", w.Body)
			}
			if tc.status != 200 && w.Body.Len() > 1000 {
				t.Errorf("the answer repeats %d bytes", w.Body.Len())
			}
		})
	}
	want(t, c.do("DELETE", "/api/v1/things/x", `{}`), 200, "")
	want(t, c.do("DELETE", "/api/v1/things/x", `{"note":"a"}`), 422, "invalid")
	want(t, c.do("GET", "/api/v1/things", `{"note":"a"}`), 422, "invalid")
	want(t, c.do("POST", "/api/v1/things", pad(100), "anonymous"), 401, "unauthorized")
	// A body of unknown length is bounded all the same.
	r := httptest.NewRequest("POST", "/api/v1/things", io.MultiReader(strings.NewReader(`{"note":"`), endless{}))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+chainToken)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	want(t, w, 413, "too_large")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// If this fails, a path finds something that is not in the table: a file, or
// another route.
func TestStrangePathsFindNothing(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	for _, path := range []string{
		"/api/v1/things/..", "/api/v1/things/.", "/api/v1/things/../things", "/api/v1/../v1/things", "//api/v1/things", "/api/v1//things", "/api/v1/things/",
		"/API/v1/things", "/api/v1/Things", "/api/v1/things/a/b", "/api/v1/things/../../../etc/passwd", "/api/v1/things/..\\..\\x", "/api/v1/things/a\x00b",
		"/api/v1/things/a\nb", "/api/v1/things/\xff", "/api/v1/things/" + strings.Repeat("x", 300), "/etc/passwd", "/api/v1", "/api/v1/", "",
		"/web/admin/backups/../../../api/v1/things", "/web/admin/backups/../page.go", "/web/admin/backups/..%2fpage.go", "/web/admin/backups/%2e%2e/page.go",
		"/web/admin/backups/..\\page.go", "/web/admin/backups/index.html\x00.js", "/web/admin/backups/js/", "/web/admin/backups/js", "/web/admin/backups//", "/web/admin/backups/static/index.html",
		"/web/admin/backups/./index.html", "/web/admin/backups/INDEX.html",
	} {
		for _, method := range []string{"GET", "DELETE"} {
			w := c.do(method, path, "")
			switch {
			case path == "" && w.Code == http.StatusTemporaryRedirect: // to the page
			case w.Code != http.StatusNotFound && (w.Code != http.StatusMethodNotAllowed || method != "DELETE"):
				t.Errorf("%s %q: %d %s %s", method, path, w.Code, w.Header().Get("Location"), w.Body)
			}
		}
	}
	// As a client would send them.
	for _, target := range []string{"/api/v1/things/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/api/v1/things/%252e%252e%252f", "/api/v1/things/..%5c..%5cx", "/api/v1/things/%00", "/web/admin/backups/%2e%2e%2fpage.go"} {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Authorization", "Bearer "+chainToken)
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound && !strings.Contains(target, "%25") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// If this fails, clients that ask before they do are misled.
func TestMethods(t *testing.T) {
	c := newChain(t, append([]route{{method: "GET", path: "/stream", stream: true, handle: echo}}, echoTable...), Options{})
	p := want(t, c.do("PUT", "/api/v1/things", ""), http.StatusMethodNotAllowed, "method_not_allowed")
	if p.Detail != "this address takes GET, HEAD, OPTIONS, POST" {
		t.Error(p.Detail)
	}
	w := c.do("OPTIONS", "/api/v1/things", "", "anonymous")
	want(t, w, http.StatusNoContent, "")
	if got := w.Header().Get("Allow"); got != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("Allow is %q", got)
	}
	w = c.do("HEAD", "/api/v1/things", "")
	want(t, w, http.StatusOK, "")
	if w.Body.Len() != 0 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %v %q", w.Header(), w.Body)
	}
	w = c.do("HEAD", "/api/v1/things", "", "anonymous")
	want(t, w, http.StatusUnauthorized, "")
	want(t, c.do("HEAD", "/api/v1/stream", ""), http.StatusMethodNotAllowed, "")
	for _, method := range []string{"TRACE", "CONNECT", "BREW", "get"} {
		if w := c.do(method, "/api/v1/things", ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	want(t, c.do("OPTIONS", "/nowhere", ""), http.StatusNotFound, "not_found")
}

// If this fails, one bug in a handler ends the process that protects a database,
// or reveals its inside to strangers.
func TestPanics(t *testing.T) {
	begin := func(_ *Handler, w http.ResponseWriter, _ *call) error {
		_, _ = io.WriteString(w, "half of")
		panic(errors.New("inside"))
	}
	c := newChain(t, []route{
		{method: "GET", path: "/early", handle: func(_ *Handler, w http.ResponseWriter, _ *call) error {
			w.Header().Set("ETag", `"x"`)
			panic(errors.New("inside"))
		}},
		{method: "GET", path: "/late", handle: begin},
		{method: "GET", path: "/abort", handle: func(*Handler, http.ResponseWriter, *call) error { panic(http.ErrAbortHandler) }},
	}, Options{})
	w := c.do("GET", "/api/v1/early", "")
	want(t, w, http.StatusInternalServerError, "failed")
	if strings.Contains(w.Body.String(), "inside") || w.Header().Get("ETag") != "" {
		t.Errorf("answered %v %s", w.Header(), w.Body)
	}
	if log := c.log.String(); !strings.Contains(log, "inside") || !strings.Contains(log, "middleware_test.go") || !strings.Contains(log, "/api/v1/early") {
		t.Errorf("the log does not help: %s", log)
	}
	logged := len(c.log.String())
	for _, path := range []string{"/api/v1/late", "/api/v1/abort"} {
		func() {
			defer func() {
				if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // as net/http does
					t.Errorf("%s: the connection is not cut: %v", path, v)
				}
			}()
			c.do("GET", path, "")
		}()
		if aborted := path == "/api/v1/abort"; aborted != (len(c.log.String()) == logged) {
			t.Errorf("%s: the log has %s", path, c.log)
		}
		logged = len(c.log.String())
	}
}

// If this fails, who may only look can do more, or their attempts stay unseen.
func TestRightsOfTheHost(t *testing.T) {
	var rights []Right
	var failure error
	c := newChain(t, echoTable, Options{Authorize: func(r *http.Request) (Principal, error) {
		return Principal{Name: r.Header.Get("X-User"), Rights: rights}, failure
	}})
	do := func(method, path string) *httptest.ResponseRecorder {
		return c.do(method, "/api/v1"+path, "", "X-User: alice")
	}
	rights = []Right{RightView}
	want(t, do("GET", "/things"), 200, "")
	want(t, do("POST", "/things"), 403, "forbidden")
	p := want(t, do("DELETE", "/things/x"), 403, "forbidden")
	if !strings.Contains(p.Detail, "alice") || !strings.Contains(p.Detail, "delete") {
		t.Error(p.Detail)
	}
	if got := c.activity.take(); len(got) != 2 || got[1] != `alice access refused DELETE /api/v1/things/x needs the right "delete"` {
		t.Errorf("the activity log has %q", got)
	}
	rights = nil
	want(t, do("GET", "/things"), 403, "forbidden")
	w := do("GET", "/session")
	if want(t, w, 200, ""); !strings.Contains(w.Body.String(), `"rights":[]`) || !strings.Contains(w.Body.String(), `"login":false`) {
		t.Errorf("%s", w.Body)
	}
	failure = errors.Join(errors.New("expired"), ErrUnauthorized)
	w = do("GET", "/things")
	want(t, w, 401, "unauthorized")
	if w.Header().Get("WWW-Authenticate") != "" {
		t.Error("a host's user is asked for a token that there is not")
	}
	failure = errors.New("user table gone: secret-dsn")
	w = do("GET", "/things")
	want(t, w, 500, "failed")
	if strings.Contains(w.Body.String(), "secret-dsn") || !strings.Contains(c.log.String(), "secret-dsn") {
		t.Error("the host's error went to the wrong place")
	}
	for _, method := range []string{"POST", "DELETE"} {
		want(t, do(method, "/session"), 404, "not_found")
	}
	if c.TokenCreated() || c.LoginURL("http://x") != "http://x/web/admin/backups/" {
		t.Error("there is a token in spite of the host's authorisation")
	}
}
