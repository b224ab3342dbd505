package httpapi

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/snapshot"
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
		t.Error("nobody is told of the token")
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

// If this fails, a token that others know or chose is taken for a secret.
func TestUnsafeTokenFilesAreRefused(t *testing.T) {
	good := chainToken + "\n"
	for name, tc := range map[string]struct {
		make func(t *testing.T, path string) error
		hint string
	}{
		"empty":          {func(_ *testing.T, p string) error { return os.WriteFile(p, nil, 0o600) }, "delete it"},
		"a line's end":   {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte("\n"), 0o600) }, "delete it"},
		"short":          {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte("123456789012345\n"), 0o600) }, "16"},
		"two lines":      {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte(good+good), 0o600) }, "one line"},
		"spaces":         {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte("a token of the tests"), 0o600) }, "one line"},
		"binary":         {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte(chainToken+"\x00"), 0o600) }, "one line"},
		"large":          {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte(strings.Repeat("x", 4000)), 0o600) }, ""},
		"huge":           {func(_ *testing.T, p string) error { return sparse(p, 1<<40) }, ""},
		"group reads":    {func(_ *testing.T, p string) error { return writeMode(p, good, 0o640) }, "chmod 600"},
		"others read":    {func(_ *testing.T, p string) error { return writeMode(p, good, 0o604) }, "chmod 600"},
		"group writes":   {func(_ *testing.T, p string) error { return writeMode(p, good, 0o620) }, "chmod 600"},
		"a directory":    {func(_ *testing.T, p string) error { return os.Mkdir(p, 0o700) }, "plain file"},
		"a link":         {func(t *testing.T, p string) error { return linkTo(t, p, good) }, "plain file"},
		"a dangling one": {func(_ *testing.T, p string) error { return os.Symlink("nowhere", p) }, "plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && (strings.HasSuffix(name, "s") || strings.HasPrefix(name, "a ")) {
				t.Skip("NOT TESTED on Windows: rights and special files are others there")
			}
			dir := t.TempDir()
			path := filepath.Join(dir, DefaultTokenFile)
			if err := tc.make(t, path); err != nil {
				t.Fatal(err)
			}
			h, err := newHandler(bareManager{dir: dir}, Options{})
			if h != nil || !errors.Is(err, snapshot.ErrRefused) || snapshot.Code(err) != "refused" {
				t.Fatalf("opened: %v", err)
			}
			if !strings.Contains(snapshot.Hint(err), tc.hint) {
				t.Errorf("%v: hint %q, want something with %q", err, snapshot.Hint(err), tc.hint)
			}
			if strings.Contains(err.Error(), chainToken) {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}

func writeMode(path, content string, mode os.FileMode) error {
	return errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode))
}

func sparse(path string, size int64) error {
	return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size))
}

func linkTo(t *testing.T, path, content string) error {
	target := filepath.Join(t.TempDir(), "target")
	return errors.Join(os.WriteFile(target, []byte(content), 0o600), os.Symlink(target, path))
}

// If this fails, a token that was changed because it leaked goes on being good
// until somebody restarts the server.
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
	// While the file cannot be used, nobody gets in, and the log says it once.
	if err := os.Chmod(c.o.TokenFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for range 3 {
			get(strings.Repeat("3", len(chainToken)), 500, "failed")
		}
		if n := strings.Count(c.log.String(), "nobody is let in"); n != 1 {
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
	// Old enough, it is not read again: only its attributes are looked at.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.o.TokenFile, old, old); err != nil {
		t.Fatal(err)
	}
	get(chainToken, 200, "")
	before := c.builtin.token.read
	get(chainToken, 200, "")
	if c.builtin.token.read != before {
		t.Error("the file is read for each request")
	}
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
