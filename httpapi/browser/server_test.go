package browser

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/httpapi"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// site is a server with everything behind it: handler, Manager, backup directory
// and a database that an application has open.
type site struct {
	gate
	t       testing.TB
	config  snapshot.Config
	options httpapi.Options
	mount   func(http.Handler) http.Handler // how a host mounts the handler; nil: at its root
	prefix  string                          // of the page as the browser sees it
	prepare func()                          // once the Manager is there, before the first visit

	app     *sql.DB // the application's pool: it stays open throughout
	addr    string  // the same after a restart
	manager *snapshot.Manager
	handler *httpapi.Handler
	server  *http.Server
	served  chan struct{}
}

// newSite serves a small sample database. change may set up the site before.
func newSite(t testing.TB, change ...func(*site)) *site {
	t.Helper()
	s := &site{t: t, prefix: httpapi.DefaultPagePrefix}
	s.config.Database = testdb.CRM(t, 0)
	for _, c := range change {
		c(s)
	}
	s.app = testdb.Open(t, s.config.Database)
	s.start()
	t.Cleanup(s.stop)
	if s.prepare != nil {
		s.prepare()
	}
	return s
}

// ofBytes gives the database another size.
func ofBytes(n int64) func(*site) {
	return func(s *site) { s.config.Database = testdb.CRM(s.t, n) }
}

// start begins to serve, on the port of before.
func (s *site) start() {
	s.t.Helper()
	m, err := snapshot.Open(context.Background(), s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	h, err := httpapi.New(m, s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	m.Subscribe(s.pass)
	listen := s.addr
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		s.t.Fatal(err)
	}
	root := http.Handler(h)
	if s.mount != nil {
		root = s.mount(h)
	}
	s.addr, s.manager, s.handler = l.Addr().String(), m, h
	s.server, s.served = &http.Server{Handler: root, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	go func() {
		defer close(s.served)
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.t.Errorf("serve: %v", err)
		}
	}()
}

// stop ends serving as a service manager would have it: streams and operations
// end, then the listener.
func (s *site) stop() {
	s.t.Helper()
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.handler.Close(ctx); err != nil {
		s.t.Errorf("close: %v", err)
	}
	if err := s.server.Shutdown(ctx); err != nil {
		s.t.Errorf("shutdown: %v", err)
	}
	<-s.served
	s.server = nil
}

// page is the page's address.
func (s *site) page() string { return "http://" + s.addr + s.prefix }

// token is the built-in one.
func (s *site) token() string {
	s.t.Helper()
	file := s.options.TokenFile
	if file == "" {
		file = filepath.Join(s.manager.Dir(), httpapi.DefaultTokenFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// open shows the page in a new browser context, to a user who follows the login
// address that the server printed.
func (s *site) open(d device) *tab {
	s.t.Helper()
	return s.openIn(s.t, d)
}

// openIn is open for a subtest.
func (s *site) openIn(t testing.TB, d device) *tab {
	t.Helper()
	p := newTab(t, s.addr, d)
	p.allow(firstVisit)
	p.visit(s.page() + "#token=" + s.token())
	p.sees(hook("state"))
	return p
}

// firstVisit: no user is signed in yet.
const firstVisit = `^answer 401: GET .*/session$|^log network error: .*401.*/session$`

// backup makes a backup without the page.
func (s *site) backup(request snapshot.Request) snapshot.Backup {
	s.t.Helper()
	b, err := s.manager.Backup(s.t.Context(), request)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// manual makes a manual backup with a note, automatic one by the schedule.
func (s *site) manual(note string) snapshot.Backup {
	s.t.Helper()
	return s.backup(snapshot.Manual(note))
}

func (s *site) automatic() snapshot.Backup {
	s.t.Helper()
	s.exec("UPDATE contacts SET title = title || '.' WHERE id = 1") // or it would be unchanged
	return s.backup(snapshot.Auto(catalog.TriggerSchedule))
}

// exec changes the database as the application does.
func (s *site) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.app.ExecContext(s.t.Context(), statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// count asks the database over the pool that has been open all the time.
func (s *site) count(query string, args ...any) (n int64) {
	s.t.Helper()
	if err := s.app.QueryRowContext(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// backups are those there are, newest first.
func (s *site) backups() []snapshot.Backup {
	s.t.Helper()
	all, err := s.manager.Backups()
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// find is one of them; the test fails when there is none.
func (s *site) find(id string) snapshot.Backup {
	s.t.Helper()
	b, err := s.manager.Find(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// waitFor waits until a condition of the server's side holds.
func (s *site) waitFor(what string, condition func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(20 * time.Millisecond); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// askedToStop waits until the server has been asked to stop an operation: the browser
// sends that some time after the click.
func (s *site) askedToStop() {
	s.t.Helper()
	s.waitFor("the request to stop", func() bool {
		log, _, err := s.manager.Activity("", 20)
		return err == nil && slices.ContainsFunc(log, func(a snapshot.Activity) bool { return a.Action == "cancel" })
	})
}

// breakDatabase zeroes the database's first page, as a failing disk would, with the
// application gone.
func (s *site) breakDatabase() {
	s.t.Helper()
	s.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	if err := s.app.Close(); err != nil {
		s.t.Fatal(err)
	}
	testdb.Damaged(s.t, s.config.Database)
	testdb.Overwrite(s.t, s.config.Database, 0, make([]byte, 4096))
}
