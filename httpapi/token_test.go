package httpapi

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"example.com/snapd/internal/durable"
)

// If this fails, a token can be guessed or read by others, or another one is made
// at each start.
func TestTokenIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	c := chainIn(t, dir, echoTable, Options{})
	path := filepath.Join(dir, DefaultTokenFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSuffix(string(raw), "\n")
	if len(token) != 43 || strings.Count(string(raw), "\n") != 1 {
		t.Errorf("the token is %d characters, not 256 bits in base64: %q", len(token), raw)
	}
	if info, err := os.Lstat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if !c.TokenCreated() {
		t.Error("the new token is not reported")
	}
	if got, wanted := c.LoginURL("http://127.0.0.1:8321/"), "http://127.0.0.1:8321/web/admin/backups/#token="+token; got != wanted {
		t.Errorf("login at %s", got)
	}
	want(t, c.do("GET", "/api/v1/things", "", "Authorization: Bearer "+token), http.StatusOK, "")
	if strings.Contains(c.log.String(), token) {
		t.Error("the token is in the log")
	}
	again := chainIn(t, dir, echoTable, Options{})
	if again.TokenCreated() {
		t.Error("the token was made a second time")
	}
	want(t, again.do("GET", "/api/v1/things", "", "Authorization: Bearer "+token), http.StatusOK, "")
	if left, err := filepath.Glob(filepath.Join(dir, durable.TempPrefix+"*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	other := chainIn(t, t.TempDir(), echoTable, Options{})
	want(t, other.do("GET", "/api/v1/things", "", "Authorization: Bearer "+token), http.StatusUnauthorized, "unauthorized")
}

// If this fails, a token that was changed because it leaked goes on being good
// until the server is restarted.
func TestTokenIsFollowed(t *testing.T) {
	c := newChain(t, echoTable, Options{})
	get := func(token string, status int, code string) {
		t.Helper()
		want(t, c.do("GET", "/api/v1/things", "", "Authorization: Bearer "+token, "RemoteAddr: "+freshAddress()), status, code)
	}
	get(chainToken, 200, "")
	// Of the same length, in the same instant, in place and by exchange.
	second := strings.Repeat("2", len(chainToken))
	rewrite(t, c.o.TokenFile, second+"\n")
	get(second, 200, "")
	get(chainToken, 401, "unauthorized")
	if err := durable.WriteFile(c.o.TokenFile, []byte(strings.Repeat("3", len(chainToken))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	get(strings.Repeat("3", len(chainToken)), 200, "")
	get(second, 401, "unauthorized")
	// While the file cannot be used, no token is accepted, and the log says it once.
	if err := os.Chmod(c.o.TokenFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for range 3 {
			get(strings.Repeat("3", len(chainToken)), 500, "failed")
		}
		if n := strings.Count(c.log.String(), "every request is refused"); n != 1 {
			t.Errorf("the log says it %d times: %s", n, c.log)
		}
	}
	if err := os.Remove(c.o.TokenFile); err != nil {
		t.Fatal(err)
	}
	get(strings.Repeat("3", len(chainToken)), 500, "failed")
	want(t, c.do("POST", "/api/v1/session", `{"token":"`+chainToken+`"}`, "anonymous"), 500, "failed")
	rewrite(t, c.o.TokenFile, chainToken)
	get(chainToken, 200, "")
}

// symlink makes a link. Windows lets only the privileged do so.
func symlink(t *testing.T, target, link string) {
	t.Helper()
	err := os.Symlink(target, link)
	if err != nil && runtime.GOOS == "windows" {
		t.Skipf("NOT TESTED: a link cannot be made: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
