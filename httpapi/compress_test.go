package httpapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The page's first paint has a budget, and a list of backups is most of it. Who does
// not take gzip must get what it can read, and who has the list is not sent it again.
func TestListsAreCompressed(t *testing.T) {
	a := openAPI(t, nil)
	for range 8 {
		a.backup(strings.Repeat("a long note ", 250))
	}
	ask := func(method, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, a.o.APIPrefix+path, nil)
		r.Header.Set("X-Who", "alice")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		a.Handler.ServeHTTP(w, r)
		return w
	}
	plain := ask("GET", "/backups", "Accept-Encoding", "identity")
	small := ask("GET", "/backups", "Accept-Encoding", "gzip")
	if got := plain.Header().Get("Content-Encoding"); got != "" {
		t.Errorf("who takes no gzip got %s", got)
	}
	for _, w := range []*httptest.ResponseRecorder{plain, small} {
		if w.Header().Get("Vary") != "Accept-Encoding" {
			t.Error("a cache would give one to who asked for the other")
		}
	}
	if small.Body.Len() > plain.Body.Len()/3 || small.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("%d bytes instead of %d", small.Body.Len(), plain.Body.Len())
	}
	z, err := gzip.NewReader(small.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain.Body.Bytes()) {
		t.Errorf("it is not the same: %v", err)
	}
	tag := small.Header().Get("ETag")
	if !strings.HasPrefix(tag, "W/") {
		t.Errorf("ETag %s claims to stand for other bytes", tag)
	}
	if again := ask("GET", "/backups", "Accept-Encoding", "gzip", "If-None-Match", tag); again.Code != http.StatusNotModified {
		t.Errorf("asked again: %d", again.Code)
	}
	if w := ask("POST", "/backups/latest/restore-plan", "Accept-Encoding", "gzip"); w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("a plan, which holds a token: %d, %s", w.Code, w.Header().Get("Content-Encoding"))
	}
}
