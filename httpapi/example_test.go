package httpapi_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"example.com/snapd/httpapi"
	"example.com/snapd/snapshot"
)

// A host mounts the page and the API in its own server, below its own path, for its own
// users: Authorize names the user of a request and the user's rights.
func ExampleNew() {
	database := exampleDatabase()
	defer func() { _ = os.RemoveAll(filepath.Dir(database)) }()
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: database})
	if err != nil {
		log.Fatal(err)
	}
	h, err := httpapi.New(m, httpapi.Options{
		PagePrefix: "/admin/backups/",
		APIPrefix:  "/admin/backups/api",
		Authorize: func(r *http.Request) (httpapi.Principal, error) {
			switch user := r.Header.Get("X-User"); user { // a real host looks up its session
			case "":
				return httpapi.Principal{}, httpapi.ErrUnauthorized
			case "root":
				return httpapi.Principal{Name: user, Rights: httpapi.AllRights()}, nil
			default:
				return httpapi.Principal{Name: user, Rights: []httpapi.Right{httpapi.RightView}}, nil
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = h.Close(context.Background()) }() // when the server ends
	mux := http.NewServeMux()
	mux.Handle("/admin/backups/", h)

	server := httptest.NewServer(mux)
	defer server.Close()
	ask := func(user, method, path string) {
		req, err := http.NewRequest(method, server.URL+path, nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("X-User", user)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		_ = resp.Body.Close()
		fmt.Printf("%q: %s %s: %s\n", user, method, path, resp.Status)
	}
	ask("alice", "GET", "/admin/backups/")
	ask("alice", "GET", "/admin/backups/api/stats")
	ask("alice", "POST", "/admin/backups/api/backups")
	ask("root", "POST", "/admin/backups/api/backups")
	ask("", "GET", "/admin/backups/api/stats")
	// Output:
	// "alice": GET /admin/backups/: 200 OK
	// "alice": GET /admin/backups/api/stats: 200 OK
	// "alice": POST /admin/backups/api/backups: 403 Forbidden
	// "root": POST /admin/backups/api/backups: 202 Accepted
	// "": GET /admin/backups/api/stats: 401 Unauthorized
}

// exampleDatabase creates the database that a host would have already.
func exampleDatabase() string {
	dir, err := os.MkdirTemp("", "snapd-example-")
	if err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "data.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("PRAGMA journal_mode=wal; CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT)"); err != nil {
		log.Fatal(err)
	}
	return path
}
