package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// If this fails, a damaged sessions.json ends the process, which has a database to protect, or
// keeps the administrator from logging in.
func TestSessionFileIsUntrusted(t *testing.T) {
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	entry := func(mac string) string { return fmt.Sprintf(`{"mac":%q,"expires_at":%q}`, mac, end) }
	file := func(entries ...string) string { return `{"sessions":[` + strings.Join(entries, ",") + `]}` }
	good := strings.Repeat("0f", 32)
	for name, tc := range map[string]struct {
		content string
		sound   bool
	}{
		"sound":                {file(entry(good)), true},
		"no sessions":          {`{}`, true},
		"more than are kept":   {file(strings.Split(strings.Repeat(entry(good)+"\n", maxSessions+50), "\n")[:maxSessions+50]...), true},
		"empty":                {"", false},
		"cut off":              {file(entry(good))[:80], false},
		"a mac too long":       {file(entry(good), entry(good+"00")), false},
		"a mac far too long":   {file(entry(strings.Repeat("0", 10_000))), false},
		"a mac too short":      {file(entry(good[2:])), false},
		"an odd mac":           {file(entry(good[1:])), false},
		"an empty mac":         {file(entry("")), false},
		"no hexadecimal digit": {file(entry("x" + good[1:])), false},
		"a mac of wide runes":  {file(entry(strings.Repeat("é", 32))), false},
		"a null":               {file("null"), false},
		"another type":         {`[1]`, false},
		"deep":                 {strings.Repeat("[", 60_000), false},
		"a bad time":           {`{"sessions":[{"mac":"` + good + `","expires_at":"soon"}]}`, false},
		"too large":            {strings.Repeat(" ", maxSessionFile+1), false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), sessionFile)
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := openSessions(path)
			if (err == nil) != tc.sound {
				t.Fatalf("%v", err)
			}
			if err != nil && (len(s.list) != 0 || len(err.Error()) > 500 || !strings.Contains(err.Error(), path)) {
				t.Errorf("%d sessions, error %v", len(s.list), err)
			}
			if len(s.list) > maxSessions {
				t.Errorf("%d sessions are kept", len(s.list))
			}
			key := hashToken(testToken)
			id, _, err := s.begin(key, time.Now())
			if err != nil {
				t.Fatalf("logging in failed: %v", err)
			}
			if again, err := openSessions(path); err != nil {
				t.Errorf("the file is not replaced by a sound one: %v", err)
			} else if _, ok := again.find(id, key, time.Now()); !ok {
				t.Error("a restart ends the new session")
			}
		})
	}
}

// If this fails, a directory in the place of sessions.json keeps the page from starting.
func TestSessionFileIsADirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, sessionFile, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	checkUnusableSessionFile(t, dir, "is a directory")
}

// checkUnusableSessionFile opens an Auth in dir, whose log must name the trouble, and logs in.
func checkUnusableSessionFile(t *testing.T, dir, trouble string) {
	t.Helper()
	var log bytes.Buffer
	o := optionsIn(dir)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), trouble) || !strings.Contains(log.String(), sessionFile) {
		t.Errorf("the log is %s", &log)
	}
	token, err := a.Token()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if _, err := a.Login(w, httptest.NewRequest("POST", "/", nil), token, ""); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(w.Result().Cookies()[0])
	if who, err := a.Authenticate(r); err != nil || who.Name != personName || who.Ended == nil {
		t.Errorf("%+v %v", who, err)
	}
}

// FuzzSessionFile: no content of the file may panic, or give an error without its path.
func FuzzSessionFile(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"sessions":[{"mac":"00","expires_at":"2026-11-25T21:00:00Z"}]}`, `{"sessions":[null]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), sessionFile)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSessions(path)
		if err != nil && (len(s.list) != 0 || !strings.Contains(err.Error(), path)) {
			t.Errorf("%d sessions, error %v", len(s.list), err)
		}
		if err == nil && !json.Valid(content) {
			t.Error("a file that is no JSON was read")
		}
	})
}

// If this fails, a caller cannot distinguish a wrong token from an unknown answer.
func TestErrorsOfAuthenticate(t *testing.T) {
	dir := t.TempDir()
	o := optionsIn(dir)
	if err := os.WriteFile(o.TokenFile, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string) error {
		r := httptest.NewRequest("GET", "/", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		_, err := a.Authenticate(r)
		return err
	}
	if err := ask(testToken); err != nil {
		t.Error(err)
	}
	if err := ask(""); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("without a token: %v", err)
	}
	for i := range clientLimit.Burst {
		var wrong *WrongTokenError
		if err := ask(fmt.Sprint("guess ", i)); !errors.Is(err, ErrUnauthorized) || !errors.As(err, &wrong) || wrong.From != "192.0.2.1" || wrong.Repeated {
			t.Fatalf("a wrong token: %v", err)
		}
	}
	var throttled *ThrottledError
	if err := ask("one more"); !errors.As(err, &throttled) || errors.Is(err, ErrUnauthorized) || throttled.Wait <= 0 {
		t.Errorf("after too many: %v", err)
	}
	if err := os.Remove(o.TokenFile); err != nil {
		t.Fatal(err)
	}
	if err := ask(testToken); !errors.Is(err, ErrTokenFile) || errors.Is(err, ErrUnauthorized) {
		t.Errorf("without the file: %v", err)
	}
	unknown := errors.New("the user database is down")
	o.Host = func(*http.Request) (Principal, error) { return Principal{}, unknown }
	if a, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := ask(""); !errors.Is(err, unknown) || errors.Is(err, ErrUnauthorized) {
		t.Errorf("the host's error became %v", err)
	}
}
