package httpapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// signIn logs in and returns the cookie, as a header line to send.
func (c *chain) signIn(header ...string) (line string) {
	c.t.Helper()
	token, err := c.auth.Token()
	if err != nil {
		c.t.Fatal(err)
	}
	w := c.do("POST", "/api/v1/session", `{"token":"`+token+`"}`, append(header, "anonymous")...)
	want(c.t, w, http.StatusNoContent, "")
	return cookieLine(c.t, w)
}

func cookieLine(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value
}

// If this fails, scripts can read the cookie, other sites can use it, or it is
// longer of use than was promised.
func TestLoginGivesAStrictCookie(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	w := c.do("POST", "/api/v1/session", `{"token":" `+chainToken+`\n"}`, "anonymous")
	want(t, w, http.StatusNoContent, "")
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Secure ||
		cookie.MaxAge != 12*60*60 || cookie.Domain != "" || len(cookie.Value) < 43 || !strings.HasPrefix(cookie.Name, "snapd_") || len(cookie.Name) != 14 {
		t.Errorf("%+v", cookie)
	}
	line := cookieLine(t, w)
	w = c.do("GET", "/api/v1/things", "", line)
	want(t, w, http.StatusOK, "")
	if !strings.Contains(w.Body.String(), "administrator") {
		t.Errorf("who logged in is %s", w.Body)
	}
	w = c.do("GET", "/api/v1/session", "", line)
	if got := w.Body.String(); !strings.Contains(got, `"expires_at":"2026-11-25T21:00:00Z"`) || !strings.Contains(got, `"login":true`) || !strings.Contains(got, `"database":"data.db"`) ||
		!strings.Contains(got, `"rights":["view","create","verify","restore","delete","download","configure","read","query"]`) {
		t.Error(got)
	}
	w = c.do("GET", "/api/v1/session", "")
	if got := w.Body.String(); !strings.Contains(got, `"expires_at":null`) || !strings.Contains(got, `"name":"program"`) {
		t.Error(got)
	}
	if again := c.signIn(); again == line {
		t.Error("two sessions have the same id")
	}
	if got := c.activity.take(); !slices.Equal(got, []string{"administrator login done from 192.0.2.1", "administrator login done from 192.0.2.1"}) {
		t.Errorf("the activity log has %q", got)
	}
}

// If this fails, who was shut out is still in: after twelve hours, after logging
// out, after the token was changed; or a restart logs everybody out.
func TestSessionsEnd(t *testing.T) {
	path := "/api/v1/things"
	for name, tc := range map[string]struct {
		end    func(t *testing.T, c *chain, line string) *chain
		status int
	}{
		"not at all": {func(_ *testing.T, c *chain, _ string) *chain { return c }, 200},
		"a restart": {func(t *testing.T, c *chain, _ string) *chain {
			return chainIn(t, c.m.Dir(), echoTable, Options{})
		}, 200},
		"just before its time": {func(_ *testing.T, c *chain, _ string) *chain { c.pass(sessionLife - time.Second); return c }, 200},
		"its time":             {func(_ *testing.T, c *chain, _ string) *chain { c.pass(sessionLife); return c }, 401},
		"a clock set right":    {func(_ *testing.T, c *chain, _ string) *chain { c.pass(-time.Minute); return c }, 200},
		"a clock gone back":    {func(_ *testing.T, c *chain, _ string) *chain { c.pass(-2 * time.Hour); return c }, 401},
		"logout": {func(t *testing.T, c *chain, line string) *chain {
			w := c.do("DELETE", "/api/v1/session", "", line)
			want(t, w, http.StatusNoContent, "")
			if cookie := w.Result().Cookies()[0]; cookie.MaxAge >= 0 || cookie.Value != "" || cookie.Path != "/" {
				t.Errorf("the cookie is not cleared: %+v", cookie)
			}
			return c
		}, 401},
		"logout and restart": {func(t *testing.T, c *chain, line string) *chain {
			want(t, c.do("DELETE", "/api/v1/session", "", line), http.StatusNoContent, "")
			return chainIn(t, c.m.Dir(), echoTable, Options{})
		}, 401},
		"another login": {func(t *testing.T, c *chain, line string) *chain { c.signIn(line); return c }, 401},
		"rotation": {func(t *testing.T, c *chain, _ string) *chain {
			rewrite(t, c.o.TokenFile, "another-token-of-the-tests-012\n")
			return c
		}, 401},
		"rotation and restart": {func(t *testing.T, c *chain, _ string) *chain {
			rewrite(t, c.o.TokenFile, "another-token-of-the-tests-012\n")
			return chainIn(t, c.m.Dir(), echoTable, Options{})
		}, 401},
		"there and back": {func(t *testing.T, c *chain, line string) *chain {
			rewrite(t, c.o.TokenFile, "another-token-of-the-tests-012\n")
			want(t, c.do("GET", path, "", line), 401, "unauthorized")
			rewrite(t, c.o.TokenFile, chainToken)
			return c
		}, 401},
		"sessions file gone": {func(t *testing.T, c *chain, _ string) *chain {
			if err := os.Remove(filepath.Join(c.m.Dir(), sessionFile)); err != nil {
				t.Fatal(err)
			}
			return chainIn(t, c.m.Dir(), echoTable, Options{})
		}, 401},
		"sessions file damaged": {func(t *testing.T, c *chain, _ string) *chain {
			rewrite(t, filepath.Join(c.m.Dir(), sessionFile), `{"sessions":[{"mac":"00`)
			return chainIn(t, c.m.Dir(), echoTable, Options{})
		}, 401},
		"a hundred others": {func(t *testing.T, c *chain, _ string) *chain {
			for range maxSessions {
				c.signIn()
			}
			return c
		}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t, echoTable, Options{})
			line := c.signIn()
			c = tc.end(t, c, line)
			w := c.do("GET", path, "", line)
			want(t, w, tc.status, map[int]string{401: "unauthorized"}[tc.status])
			if c.signIn() == line { // people can log in again in every case
				t.Error("an old session came back")
			}
		})
	}
}

func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// If this fails, streams of who logged out go on until their next heartbeat.
func TestEndedSessionsTellTheirStreams(t *testing.T) {
	ended := make(chan (<-chan struct{}), 1)
	table := []route{{method: "GET", path: "/ended", right: RightView, handle: func(_ *Handler, w http.ResponseWriter, c *call) error {
		ended <- c.who.Ended
		return writeJSON(w, 200, c.who.Expires)
	}}}
	c := newChain(t, table, Options{})
	line := c.signIn()
	c.do("GET", "/api/v1/ended", "", line)
	gone := <-ended
	select {
	case <-gone:
		t.Fatal("ended before its end")
	default:
	}
	c.do("DELETE", "/api/v1/session", "", line)
	select {
	case <-gone:
	default:
		t.Error("the stream was not ended")
	}
}

// If this fails, who reads the file, or a copy of the directory, is logged in.
func TestSessionFileHoldsNoSecret(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	_, id, _ := strings.Cut(c.signIn(), "=")
	path := filepath.Join(c.m.Dir(), sessionFile)
	raw, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(raw), id) || strings.Contains(string(raw), chainToken) {
		t.Errorf("%v: %s", err, raw)
	}
	if info, err := os.Lstat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	_, stored, _ := strings.Cut(string(raw), `"mac": "`)
	want(t, c.do("GET", "/api/v1/things", "", "Cookie: "+c.auth.CookieName()+"="+stored[:64]), http.StatusUnauthorized, "unauthorized")
	other := newChain(t, echoTable, Options{})
	if other.auth.CookieName() == c.auth.CookieName() {
		t.Error("two directories have one cookie")
	}
}

// A session file that is a link must not let another user's file be overwritten or read.
func TestSessionFileIsNeverALink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "precious")
	rewrite(t, target, `{"sessions":[]}`)
	symlink(t, target, filepath.Join(dir, sessionFile))
	rewrite(t, filepath.Join(dir, DefaultTokenFile), chainToken)
	c := chainIn(t, dir, echoTable, Options{})
	if !strings.Contains(c.log.String(), "all sessions have ended") {
		t.Errorf("a link was read: %s", c.log)
	}
	c.signIn()
	if raw, err := os.ReadFile(target); err != nil || string(raw) != `{"sessions":[]}` {
		t.Errorf("the link was written through: %s %v", raw, err)
	}
	if info, err := os.Lstat(filepath.Join(dir, sessionFile)); err != nil || info.Mode().Type() == fs.ModeSymlink {
		t.Errorf("%v %v", info, err)
	}
}

// The promises of docs/http-api.md.
const (
	sessionFile = "sessions.json"
	sessionLife = 12 * time.Hour
	maxSessions = 100
)

// obstruct puts a directory in the place of the session file: it cannot be replaced by a file.
func obstruct(t *testing.T, c *chain) {
	t.Helper()
	path := filepath.Join(c.m.Dir(), sessionFile)
	if err := errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Join(path, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
}

// A directory that cannot be written must not keep the administrator out.
func TestLoginWithoutASessionFile(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	obstruct(t, c)
	line := c.signIn()
	want(t, c.do("GET", "/api/v1/things", "", line), http.StatusOK, "")
	if !strings.Contains(c.log.String(), "will not outlive") {
		t.Error("the failure was not logged")
	}
}

// A user who logs out must be out, even if the disk fails, and the log must report
// that a restart may bring the session back.
func TestLogoutWithoutASessionFile(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	line := c.signIn()
	obstruct(t, c)
	want(t, c.do("DELETE", "/api/v1/session", "", line), http.StatusNoContent, "")
	want(t, c.do("GET", "/api/v1/things", "", line), http.StatusUnauthorized, "unauthorized")
	if !strings.Contains(c.log.String(), "may come back") {
		t.Error("the failure was not logged")
	}
}

// Bad logins must be distinguished from good ones, and be seen by the administrator.
func TestBadLogins(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	for body, code := range map[string]string{
		`{"token":"x"}`: "unauthorized", `{"token":""}`: "invalid", ``: "invalid", `{"token":1}`: "invalid", `{"Token":"` + chainToken + `"}`: "invalid",
	} {
		w := c.do("POST", "/api/v1/session", body, "anonymous")
		want(t, w, map[string]int{"unauthorized": 401, "invalid": 422}[code], code)
		if len(w.Result().Cookies()) != 0 {
			t.Errorf("%s got a cookie", body)
		}
	}
	if got := c.activity.take(); !slices.Equal(got, []string{"unknown login refused wrong token from 192.0.2.1"}) {
		t.Errorf("the activity log has %q", got)
	}
}

// With a proxy's password in front, browsers send that with each request too.
func TestOtherSchemesLeaveTheCookieAlone(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	line := c.signIn()
	want(t, c.do("GET", "/api/v1/things", "", line, "Authorization: Basic dTpw"), http.StatusOK, "")
	// A program's token wins, right or wrong.
	want(t, c.do("GET", "/api/v1/things", "", line, "Authorization: Bearer wrong"), http.StatusUnauthorized, "unauthorized")
	w := c.do("GET", "/api/v1/things", "", line, "Authorization: Bearer "+chainToken)
	if !strings.Contains(w.Body.String(), "program") {
		t.Errorf("%s", w.Body)
	}
	// A cookie that another host of the domain set stands before ours.
	_, id, _ := strings.Cut(line, "=")
	want(t, c.do("GET", "/api/v1/things", "", fmt.Sprintf("Cookie: %s=tossed; %s=%s", c.auth.CookieName(), c.auth.CookieName(), id)), http.StatusOK, "")
}

// If this fails, the session is sent to every other server of this machine that a browser
// asks, or not to the API where a proxy has put that.
func TestTheCookieGoesToTheAPIOnly(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	at := func(path string) *httptest.ResponseRecorder {
		return c.do("POST", "/api/v1/session", `{"token":"`+chainToken+`","path":"`+path+`"}`, "anonymous")
	}
	if w := at("/mounted/api/v1"); w.Code != 204 || w.Result().Cookies()[0].Path != "/mounted/api/v1" {
		t.Errorf("%d: the cookie goes beyond the API: %v", w.Code, w.Result().Cookies())
	}
	for _, path := range []string{"api", "/a;b", "/a b", "/ü", "/" + strings.Repeat("a", 600)} {
		want(t, at(path), 422, "invalid")
	}
}
