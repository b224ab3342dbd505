package httpapi

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// testPage is a page of the tests' own.
func testPage(t *testing.T, c *chain) {
	t.Helper()
	p, err := newPage(fstest.MapFS{
		"index.html": {Data: []byte(`<meta name="snapd-api" content="%API%">`)},
		"js/app.js":  {Data: []byte(strings.Repeat("export const a = 1;\n", 100))},
		"css/a.css":  {Data: []byte("a{}")},
		"icon.svg":   {Data: []byte("<svg/>")},
	}, c.o.PagePrefix, strings.TrimSuffix(relative(c.o.PagePrefix, c.o.APIPrefix), "/"))
	if err != nil {
		t.Fatal(err)
	}
	c.page = p
}

// If this fails, the page cannot be loaded, or an old version of it is shown.
func TestPageFiles(t *testing.T) {
	c := newChain(t, nil, Options{})
	testPage(t, c)
	for name, kind := range map[string]string{
		"": "text/html; charset=utf-8", "index.html": "text/html; charset=utf-8", "js/app.js": "text/javascript; charset=utf-8",
		"css/a.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		w := c.do("GET", DefaultPagePrefix+name, "", "anonymous")
		want(t, w, 200, "")
		if w.Header().Get("Content-Type") != kind || w.Header().Get("Cache-Control") != "no-cache" || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %v", name, w.Header())
		}
		head := c.do("HEAD", DefaultPagePrefix+name, "", "anonymous")
		if head.Body.Len() != 0 || head.Header().Get("Content-Length") != w.Header().Get("Content-Length") || head.Code != 200 {
			t.Errorf("HEAD %s: %d %v", name, head.Code, head.Header())
		}
		tag := w.Header().Get("ETag")
		for list, status := range map[string]int{tag: 304, `"x", W/` + tag: 304, "*": 304, `"x"`: 200, "": 200} {
			w := c.do("GET", DefaultPagePrefix+name, "", "If-None-Match: "+list)
			if w.Code != status || status == 304 && (w.Body.Len() != 0 || w.Header().Get("ETag") != tag) {
				t.Errorf("%s, If-None-Match %s: %d", name, list, w.Code)
			}
		}
	}
	if got := c.do("GET", DefaultPagePrefix, "").Body.String(); got != `<meta name="snapd-api" content="../../../api/v1">` {
		t.Error(got)
	}
	for _, name := range []string{"js", "js/", "nowhere", "js/app.js/", "page.go"} {
		want(t, c.do("GET", DefaultPagePrefix+name, ""), 404, "not_found")
	}
	w := c.do("POST", DefaultPagePrefix, "")
	want(t, w, 405, "method_not_allowed")
	if w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("%v", w.Header())
	}
	want(t, c.do("OPTIONS", DefaultPagePrefix, ""), 204, "")
}

// If this fails, the first look takes longer than it must, or a client gets what it
// cannot read.
func TestPageIsCompressed(t *testing.T) {
	c := newChain(t, nil, Options{})
	testPage(t, c)
	script := DefaultPagePrefix + "js/app.js"
	plain := c.do("GET", script, "")
	if h := plain.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "" {
		t.Errorf("a script has the headers %v", h)
	}
	for accept, compressed := range map[string]bool{
		"gzip": true, "gzip, deflate, br": true, "br;q=1.0, gzip;q=0.8": true, "GZIP": true, "deflate, gzip;q=1": true,
		"gzip;q=0": false, "gzip; q=0.0": false, "br": false, "": false, "gzip;q=x": false, "x-gzip": false, "identity": false,
	} {
		w := c.do("GET", script, "", "Accept-Encoding: "+accept)
		want(t, w, 200, "")
		if w.Header().Get("Vary") != "Accept-Encoding" {
			t.Error("there is no Vary header")
		}
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != compressed {
			t.Errorf("%q: compressed is %v", accept, got)
			continue
		}
		if !compressed {
			continue
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(z)
		if err != nil || string(raw) != plain.Body.String() {
			t.Errorf("%q: %v, %d bytes", accept, err, len(raw))
		}
		if w.Header().Get("ETag") == plain.Header().Get("ETag") {
			t.Error("two forms have one tag")
		}
		again := c.do("GET", script, "", "Accept-Encoding: "+accept, "If-None-Match: "+w.Header().Get("ETag"))
		if again.Code != 304 || again.Header().Get("Content-Encoding") != "" {
			t.Errorf("%d %v", again.Code, again.Header())
		}
	}
	if w := c.do("GET", DefaultPagePrefix+"css/a.css", "", "Accept-Encoding: gzip"); w.Header().Get("Content-Encoding") != "" {
		t.Error("three bytes grew")
	}
}

// If this fails, a file was put into the page that is served as nothing a browser
// knows, or the page does not find the API.
func TestEmbeddedPage(t *testing.T) {
	c := newChain(t, nil, Options{})
	w := c.do("GET", DefaultPagePrefix, "")
	want(t, w, 200, "")
	if body := w.Body.String(); !strings.Contains(body, `<meta name="snapd-api" content="../../../api/v1">`) || strings.Contains(body, apiMark) {
		t.Errorf("%s", body)
	}
	if _, err := newPage(fstest.MapFS{"a.exe": {}}, DefaultPagePrefix, ""); err == nil {
		t.Error("an unknown kind of file is served")
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(files, indexFile); err != nil {
		t.Fatal(err)
	}
}

// If this fails, the page cannot be reached in an application or behind a proxy
// that keeps it below a path of its own: every reference must stay below that.
func TestMountedAnywhere(t *testing.T) {
	for _, outer := range []string{"", "/snapd", "/a/b/c"} {
		for _, o := range []Options{{}, {APIPrefix: "/x", PagePrefix: "/"}, {APIPrefix: "/", PagePrefix: "/p"}, {APIPrefix: "/p/q/api/", PagePrefix: "/p/q/"}, {APIPrefix: "/p/api", PagePrefix: "/p/q/"}} {
			c := newChain(t, echoTable, o)
			testPage(t, c)
			mounted := http.StripPrefix(outer, c.Handler)
			get := func(target string) *httptest.ResponseRecorder {
				r := httptest.NewRequest("GET", target, nil)
				r.Header.Set("Authorization", "Bearer "+chainToken)
				w := httptest.NewRecorder()
				mounted.ServeHTTP(w, r)
				return w
			}
			page := "http://snapd.test" + outer + c.o.PagePrefix
			for _, start := range []string{outer + c.o.PagePrefix, strings.TrimSuffix(outer+c.o.PagePrefix, "/"), outer + "/", outer} {
				if start == "" {
					continue // no client sends that
				}
				at := resolve(t, "http://snapd.test"+start, "")
				w := get(at)
				for range 3 {
					if w.Code != http.StatusTemporaryRedirect {
						break
					}
					if strings.HasPrefix(w.Header().Get("Location"), "/") {
						t.Errorf("%s: a redirect to %s leaves the prefix", start, w.Header().Get("Location"))
					}
					at = resolve(t, at, w.Header().Get("Location"))
					w = get(at)
				}
				if w.Code != 200 || at != page {
					t.Errorf("%q below %q with %q leads to %s: %d", start, outer, c.o.PagePrefix, at, w.Code)
				}
			}
			_, api, _ := strings.Cut(get(page).Body.String(), `content="`)
			api, _, _ = strings.Cut(api, `"`)
			if w := get(resolve(t, page, api+"/things")); w.Code != 200 {
				t.Errorf("below %q with %+v the page looks for the API at %q: %d", outer, o, api, w.Code)
			}
		}
	}
}

func resolve(t *testing.T, base, ref string) string {
	t.Helper()
	b, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r.String()
}

// If this fails, New panics on, or routes wrongly, what an embedder configures.
func TestPrefixesAreJudged(t *testing.T) {
	for _, o := range []Options{
		{APIPrefix: "api"}, {PagePrefix: "page"}, {APIPrefix: "/a/:id"}, {APIPrefix: "/a*"}, {PagePrefix: "/a?b"}, {PagePrefix: "//evil.test/"},
		{APIPrefix: "/a/../b"}, {APIPrefix: "/a//b"}, {PagePrefix: "/a b/"}, {APIPrefix: `/a\b`}, {APIPrefix: "/%61"},
	} {
		if _, err := newHandler(bareManager{dir: t.TempDir()}, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, prefix := range []string{"/", "/healthz", "/metrics", "/session", path.Clean("/a/b/")} {
		if _, err := newHandler(bareManager{dir: t.TempDir()}, Options{APIPrefix: prefix, PagePrefix: prefix}); err != nil {
			t.Errorf("%s: %v", prefix, err)
		}
	}
}
