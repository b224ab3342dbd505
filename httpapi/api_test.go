package httpapi

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// api is a handler over a manager, served on loopback, with an Authorize.
type api struct {
	*Handler
	t      testing.TB
	server *httptest.Server
	log    *lockedBuffer
	db     *sql.DB // of change

	mu     sync.Mutex
	rights []Right // of who asks
}

// openAPI makes a Manager over a database of its own and serves it. change may put
// a fault in front of the Manager.
func openAPI(t testing.TB, change func(manager) manager, configure ...func(*snapshot.Config, *Options)) *api {
	t.Helper()
	cfg := snapshot.Config{Database: testdb.CRM(t, 1<<20)}
	return apiOver(t, cfg, change, configure...)
}

func apiOver(t testing.TB, cfg snapshot.Config, change func(manager) manager, configure ...func(*snapshot.Config, *Options)) *api {
	t.Helper()
	a := &api{t: t, rights: AllRights(), log: &lockedBuffer{}}
	o := Options{Logger: slog.New(slog.NewTextHandler(a.log, nil)), AllowDownload: true, AllowQuery: true}
	o.Authorize = func(r *http.Request) (Principal, error) {
		name := r.Header.Get("X-Who")
		switch name {
		case "":
			return Principal{}, ErrUnauthorized
		case "broken":
			return Principal{}, errors.New("the host cannot find out")
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		return Principal{Name: name, Rights: a.rights}, nil
	}
	for _, c := range configure {
		c(&cfg, &o)
	}
	m, err := snapshot.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var to manager = m
	if change != nil {
		to = change(m)
	}
	if a.Handler, err = newHandler(to, o); err != nil {
		t.Fatal(err)
	}
	a.server = httptest.NewServer(a.Handler)
	t.Cleanup(a.close)
	return a
}

// setRights gives those, and no others, to who asks from now on.
func (a *api) setRights(rights ...Right) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rights = rights
}

func (a *api) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := a.Handler.Close(ctx); err != nil {
		a.t.Errorf("close: %v", err)
	}
	a.server.Close()
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
	at     string // where Location leads to
}

// ask sends a request below the API's prefix; header lines are "Name: value".
func (a *api) ask(method, path, body string, header ...string) answer {
	a.t.Helper()
	if !strings.HasPrefix(path, "/healthz") && !strings.HasPrefix(path, "/readyz") && !strings.HasPrefix(path, "/metrics") {
		path = a.o.APIPrefix + path
	}
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.server.URL+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("X-Who", "alice")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	res, err := a.server.Client().Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	asDescribed(a.t, method, strings.TrimPrefix(path, a.o.APIPrefix), res.StatusCode, res.Header.Get("Content-Type"), raw)
	out := answer{a.t, res.StatusCode, res.Header, raw, ""}
	if at, err := res.Location(); err == nil {
		out.at = at.Path
	}
	return out
}

// into decodes the body after asserting the status.
func (r answer) into(status int, v any) {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("answered %d, want %d: %s", r.status, status, r.body)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(r.body, v); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
}

// problem asserts the status and code of an error.
func (r answer) problem(status int, code string) problem {
	r.t.Helper()
	var p problem
	r.into(status, &p)
	if p.Code != code || p.Status != status || r.header.Get("Content-Type") != "application/problem+json" {
		r.t.Fatalf("answered %s %s, want code %s", r.header.Get("Content-Type"), r.body, code)
	}
	return p
}

// finish waits for the operation that the answer began, and returns its end.
func (a *api) finish(r answer) operation {
	a.t.Helper()
	var doc operationDocument
	r.into(http.StatusAccepted, &doc)
	return a.wait(doc.Operation.ID)
}

// wait returns the operation when it has ended.
func (a *api) wait(id string) operation {
	a.t.Helper()
	ended := make(chan operation, 1)
	stop := a.listen(func(op operation) {
		if op.ID == id && op.State != stateRunning {
			select {
			case ended <- op:
			default:
			}
		}
	})
	defer stop()
	if op, err := a.ops.get(id); err == nil && op.State != stateRunning {
		return op
	}
	select {
	case op := <-ended:
		return op
	case <-time.After(time.Minute):
		a.t.Fatalf("operation %s does not end:\n%s", id, a.log)
	}
	return operation{}
}

// listen has fn called with every state of an operation that is published.
func (a *api) listen(fn func(operation)) (stop func()) {
	a.t.Helper()
	l, err := a.hub.join()
	if err != nil {
		a.t.Fatal(err)
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-l.wake:
			}
			b, err := l.take()
			if err != nil {
				return
			}
			for _, op := range b.operations {
				fn(op)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		a.hub.leave(l)
	}
}

// backup makes a backup through the API and returns it.
func (a *api) backup(note string) backupView {
	a.t.Helper()
	op := a.finish(a.ask("POST", "/backups", fmt.Sprintf(`{"note":%q}`, note)))
	if op.State != stateDone {
		a.t.Fatalf("backup: %+v %+v", op, op.Error)
	}
	var b backupView
	if err := json.Unmarshal(op.Result, &b); err != nil {
		a.t.Fatal(err)
	}
	return b
}

// change writes to the database, so that the next backup is another one.
func (a *api) change() {
	a.t.Helper()
	if a.db == nil {
		a.db = testdb.Open(a.t, a.m.Database())
	}
	if _, err := a.db.Exec("UPDATE notes SET body = body || '.' WHERE id IN (SELECT id FROM notes LIMIT 3)"); err != nil {
		a.t.Fatal(err)
	}
}

// Lost if this fails: everything a person does on the page, in the order of a bad day.
func TestADayWithTheAPI(t *testing.T) {
	a := openAPI(t, nil)
	var st snapshot.Status
	a.ask("GET", "/status", "").into(200, &st)
	if st.State != snapshot.Unprotected {
		t.Errorf("without backups: %+v", st)
	}
	a.ask("GET", "/readyz", "").into(503, nil)
	first := a.backup("before the import")
	if first.Note != "before the import" || first.ETag == "" || !first.Usable() {
		t.Errorf("backup %+v", first)
	}
	a.ask("GET", "/status", "").into(200, &st)
	if st.State != snapshot.Protected {
		t.Errorf("after a backup: %+v", st)
	}
	a.ask("GET", "/readyz", "").into(200, nil)
	a.change()
	second := a.backup("after it")

	var page backupPage
	a.ask("GET", "/backups?limit=1", "").into(200, &page)
	if len(page.Backups) != 1 || page.Backups[0].ID != second.ID || page.Next == nil || page.Revision == "" {
		t.Fatalf("first page %+v", page)
	}
	a.ask("GET", "/backups?limit=1&kind=manual&cursor="+*page.Next, "").into(200, &page)
	if len(page.Backups) != 1 || page.Backups[0].ID != first.ID || page.Next != nil {
		t.Fatalf("second page %+v", page)
	}

	op := a.finish(a.ask("POST", "/backups/"+first.ID+"/verify", `{"level":"full"}`))
	if op.State != stateDone || op.Kind != snapshot.OpVerify || deref(op.Backup) != first.ID || !bytes.Contains(op.Result, []byte(`"level":"full"`)) {
		t.Errorf("verify %+v", op)
	}
	op = a.finish(a.ask("POST", "/backups/latest/drill", ""))
	if op.State != stateDone || !bytes.Contains(op.Result, []byte(second.ID)) {
		t.Errorf("drill %+v %s", op, op.Result)
	}
	op = a.finish(a.ask("POST", "/check", ""))
	if op.State != stateDone || !bytes.Contains(op.Result, []byte(`"verdict":"healthy"`)) {
		t.Errorf("check %+v %s", op, op.Result)
	}

	var plan planDocument
	a.ask("POST", "/backups/"+first.ID+"/restore-plan", "").into(200, &plan)
	if plan.Plan.Confirm != "data.db" || plan.Plan.LosesSince == nil || !plan.Plan.SavesFirst || plan.Plan.Backup.ID != first.ID {
		t.Errorf("plan %+v", plan.Plan)
	}
	body := func(token, confirm string) string { return fmt.Sprintf(`{"token":%q,"confirm":%q}`, token, confirm) }
	a.ask("POST", "/backups/"+first.ID+"/restore", body(plan.Plan.Token, "Data.db")).problem(422, "wrong_name")
	a.ask("POST", "/backups/"+second.ID+"/restore", body(plan.Plan.Token, "data.db")).problem(409, "stale")
	op = a.finish(a.ask("POST", "/backups/"+first.ID+"/restore", body(plan.Plan.Token, "data.db")))
	var done snapshot.RestoreResult
	if err := json.Unmarshal(op.Result, &done); err != nil || op.State != stateDone || done.SafetyBackup == nil {
		t.Fatalf("restore %+v %+v %s", op, op.Error, op.Result)
	}
	a.ask("POST", "/backups/"+first.ID+"/restore", body(plan.Plan.Token, "data.db")).problem(409, "stale")

	var tables tableDocument
	a.ask("GET", "/backups/"+first.ID+"/tables", "").into(200, &tables)
	if len(tables.Tables) == 0 {
		t.Error("no tables")
	}
	file := a.ask("GET", "/backups/"+first.ID+"/download", "")
	file.into(200, nil)
	want, err := os.ReadFile(a.m.ArchivePath(first.Backup))
	if err != nil || !bytes.Equal(file.body, want) {
		t.Errorf("download of %d bytes, want %d, %v", len(file.body), len(want), err)
	}

	var b backupView
	a.ask("PATCH", "/backups/"+first.ID, `{"note":"kept","pinned":true}`).into(200, &b)
	a.ask("DELETE", "/backups/"+first.ID, "").problem(409, "refused")
	a.ask("PATCH", "/backups/"+first.ID, `{"pinned":false}`, `If-Match: "gone"`).problem(409, "stale")
	var again backupView
	a.ask("PATCH", "/backups/"+first.ID, `{"pinned":false}`, `If-Match: "`+b.ETag+`"`).into(200, &again)
	a.ask("DELETE", "/backups/"+first.ID, "", `If-Match: `+again.ETag).into(204, nil)
	a.ask("GET", "/backups/"+first.ID, "").problem(404, "not_found")

	var log activityPage
	a.ask("GET", "/activity?limit=500", "").into(200, &log)
	var ops operationPage
	a.ask("GET", "/operations", "").into(200, &ops)
	if len(ops.Operations) != 6 || ops.Operations[0].Kind != snapshot.OpRestore {
		t.Errorf("operations %+v", ops)
	}
	for _, path := range []string{"/stats", "/history", "/retention-plan", "/healthz", "/metrics"} {
		a.ask("GET", path, "").into(200, nil)
	}
	if strings.Contains(a.log.String(), "level=ERROR") {
		t.Errorf("the log complains:\n%s", a.log)
	}
}

// into decodes the result.
func (op operation) into(v any) error { return json.Unmarshal(op.Result, v) }
