package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver is a server that writes down what it is sent, one line for each request: "/path body". A path with "broken" in it
// is answered with 500: receiver VAR FILE.
func receiver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: receiver VAR FILE")
	}
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if strings.Contains(r.URL.Path, "broken") || err != nil {
			http.Error(w, "no: "+r.URL.Path, http.StatusInternalServerError)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/missing") {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(f, "%s %s\n", r.URL.Path, body)
	}))
	ts.Defer(func() { s.Close(); f.Close() })
	ts.Setenv(args[0], s.URL)
}
