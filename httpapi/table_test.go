package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// table is what the cases work on: an API with two backups, whose Manager may be
// made to fail.
type table struct {
	*api
	f             *faults
	first, second backupView
}

func newTable(t *testing.T) *table {
	tb := &table{}
	tb.api = openAPI(t, faulty(&tb.f), withRemote(t.TempDir()))
	tb.first = tb.backup("first")
	tb.change()
	tb.second = tb.backup("second")
	return tb
}

// routeCase is one answer of one route.
type routeCase struct {
	route  string // "GET /status"
	status int
	code   string // of a problem
	do     func(*table) answer
}

// plain makes a case of a plain request; {first} in path is the first backup's id.
func plain(route string, status int, code, path, body string, header ...string) routeCase {
	return routeCase{route, status, code, func(tb *table) answer {
		method, _, _ := strings.Cut(route, " ")
		r := strings.NewReplacer("{first}", tb.first.ID, "{etag}", tb.first.ETag)
		lines := slices.Clone(header)
		for i := range lines {
			lines[i] = r.Replace(lines[i])
		}
		return tb.ask(method, r.Replace(path), body, lines...)
	}}
}

// failing is plain while a method of the Manager fails.
func failing(method string, err error, c routeCase) routeCase {
	do := c.do
	c.do = func(tb *table) answer {
		tb.f.fails(method, err)
		defer tb.f.on(method, nil)
		tb.happened()
		return do(tb)
	}
	return c
}

// whileBusy is plain while another operation runs.
func whileBusy(c routeCase) routeCase {
	do := c.do
	c.do = func(tb *table) answer {
		entered, release := tb.f.holds("Backup")
		op := decodeOperation(tb.t, tb.ask("POST", "/backups", ""), 202)
		<-entered
		defer tb.wait(op.ID)
		defer release()
		return do(tb)
	}
	return c
}

var errBroken = errors.New("broken")

// planned is a restore of the first backup with a plan that was made for it.
func planned(status int, code, confirm string, between func(*table)) routeCase {
	return routeCase{"POST /backups/:id/restore", status, code, func(tb *table) answer {
		var plan planDocument
		tb.ask("POST", "/backups/"+tb.first.ID+"/restore-plan", "").into(200, &plan)
		if between != nil {
			between(tb)
		}
		return tb.ask("POST", "/backups/"+tb.first.ID+"/restore", fmt.Sprintf(`{"token":%q,"confirm":%q}`, plan.Plan.Token, confirm))
	}}
}

// undone plans the undo of a restore of the first backup.
func undone(status int, code string) routeCase {
	return routeCase{"POST /undo-plan", status, code, func(tb *table) answer {
		if _, err := tb.f.manager.Restore(tb.t.Context(), tb.first.ID, snapshot.RestoreOptions{}); err != nil {
			tb.t.Fatal(err)
		}
		return tb.ask("POST", "/undo-plan", "")
	}}
}

func routeCases() []routeCase {
	stale := `If-Match: "0"`
	return []routeCase{
		plain("GET /status", 200, "", "/status", ""),
		failing("Status", errBroken, plain("GET /status", 500, "failed", "/status", "")),
		plain("GET /stats", 200, "", "/stats", ""),
		failing("Stats", errBroken, plain("GET /stats", 500, "failed", "/stats", "")),
		plain("GET /stats", 304, "", "/stats", "", "If-None-Match: *"),
		plain("GET /history", 200, "", "/history?days=366", ""),
		plain("GET /history", 422, "invalid", "/history?days=367", ""),
		plain("GET /history", 422, "invalid", "/history?days=0", ""),
		plain("GET /history", 422, "invalid", "/history?days=1e1", ""),
		failing("History", errBroken, plain("GET /history", 500, "failed", "/history", "")),
		plain("GET /retention-plan", 200, "", "/retention-plan", ""),
		failing("PlanPrune", errBroken, plain("GET /retention-plan", 500, "failed", "/retention-plan", "")),
		failing("PlanPrune", snapshot.ErrBusy, plain("GET /retention-plan", 409, "busy", "/retention-plan", "")),
		plain("POST /accept-break", 200, "", "/accept-break", ""),
		whileBusy(plain("POST /accept-break", 409, "busy", "/accept-break", "")),
		failing("AcceptBreak", snapshot.ErrRefused, plain("POST /accept-break", 409, "refused", "/accept-break", "")),
		failing("AcceptBreak", errBroken, plain("POST /accept-break", 500, "failed", "/accept-break", "")),
		failing("AcceptBreak", snapshot.ErrNoSpace, plain("POST /accept-break", 507, "no_space", "/accept-break", "")),
		plain("GET /points", 200, "", "/points?limit=1000", ""),
		plain("GET /points", 422, "invalid", "/points?cursor=nonsense", ""),
		failing("Points", errBroken, plain("GET /points", 500, "failed", "/points", "")),
		plain("GET /points/density", 200, "", "/points/density?buckets=1000", ""),
		plain("GET /points/density", 422, "invalid", "/points/density?buckets=1001", ""),
		failing("Points", errBroken, plain("GET /points/density", 500, "failed", "/points/density", "")),
		plain("GET /points/runs", 200, "", "/points/runs?from=2026-11-25T13:31:59Z", ""),
		plain("GET /points/runs", 422, "invalid", "/points/runs?from=yesterday", ""),
		failing("Points", errBroken, plain("GET /points/runs", 500, "failed", "/points/runs", "")),
		plain("GET /points/nearest", 200, "", "/points/nearest?at=2026-11-25T13:31:59Z", ""),
		plain("GET /points/nearest", 422, "invalid", "/points/nearest", ""),
		failing("Points", errBroken, plain("GET /points/nearest", 500, "failed", "/points/nearest?at=2026-11-25T13:31:59Z", "")),
		plain("GET /activity", 200, "", "/activity?limit=500", ""),
		plain("GET /activity", 304, "", "/activity", "", "If-None-Match: *"),
		plain("GET /activity", 422, "invalid", "/activity?limit=501", ""),
		plain("GET /activity", 422, "invalid", "/activity?cursor=nonsense", ""),
		plain("GET /activity", 422, "invalid", "/activity?limit=1&limit=2", ""),
		failing("Activity", errBroken, plain("GET /activity", 500, "failed", "/activity", "")),

		plain("GET /backups", 200, "", "/backups?kind=manual&limit=1000&text=x&from=2026-11-25T13:31:59Z&to=2026-11-26T13:31:59Z", ""),
		plain("GET /backups", 304, "", "/backups", "", "If-None-Match: *"),
		plain("GET /backups", 422, "invalid", "/backups?kind=all", ""),
		plain("GET /backups", 422, "invalid", "/backups?from=2026-11-25T13:31:59Z&to=2026-11-24T13:31:59Z", ""),
		plain("GET /backups", 422, "invalid", "/backups?limit=1001", ""),
		plain("GET /backups", 422, "invalid", "/backups?cursor=nonsense", ""),
		plain("GET /backups", 422, "invalid", "/backups?page=2", ""),
		plain("GET /backups", 422, "invalid", "/backups?kind=%zz", ""),
		plain("GET /backups", 422, "invalid", "/backups?cursor="+strings.Repeat("x", 3000), ""),
		failing("Page", errBroken, plain("GET /backups", 500, "failed", "/backups", "")),
		{"POST /backups", 202, "", func(tb *table) answer {
			r := tb.ask("POST", "/backups", `{"note":"x","pin":true}`)
			tb.finish(r)
			return r
		}},
		whileBusy(plain("POST /backups", 409, "busy", "/backups", "")),
		plain("POST /backups", 422, "invalid", "/backups", `{"note":"`+strings.Repeat("x", snapshot.MaxNote+1)+`"}`),
		plain("GET /backups/:id", 200, "", "/backups/{first}", ""),
		plain("GET /backups/:id", 304, "", "/backups/{first}", "", `If-None-Match: "x", "{etag}"`),
		plain("GET /backups/:id", 404, "not_found", "/backups/nosuch", ""),
		failing("Find", errBroken, plain("GET /backups/:id", 500, "failed", "/backups/{first}", "")),
		plain("PATCH /backups/:id", 200, "", "/backups/{first}", `{"note":"patched"}`),
		plain("PATCH /backups/:id", 404, "not_found", "/backups/nosuch", `{"note":""}`),
		plain("PATCH /backups/:id", 409, "stale", "/backups/{first}", `{"note":"x"}`, stale),
		failing("SetNote", snapshot.ErrBusy, plain("PATCH /backups/:id", 409, "busy", "/backups/{first}", `{"note":"other"}`)),
		plain("PATCH /backups/:id", 422, "invalid", "/backups/{first}", `{}`),
		plain("PATCH /backups/:id", 422, "invalid", "/backups/{first}", `{"note":"`+strings.Repeat("x", snapshot.MaxNote+1)+`"}`),
		failing("SetPinned", errBroken, plain("PATCH /backups/:id", 500, "failed", "/backups/{first}", `{"pinned":true}`)),
		failing("SetNote", snapshot.ErrNoSpace, plain("PATCH /backups/:id", 507, "no_space", "/backups/{first}", `{"note":"other"}`)),
		{"DELETE /backups/:id", 204, "", func(tb *table) answer {
			b := tb.backup("to go")
			return tb.ask("DELETE", "/backups/"+b.ID, "")
		}},
		plain("DELETE /backups/:id", 404, "not_found", "/backups/nosuch", ""),
		plain("DELETE /backups/:id", 409, "stale", "/backups/{first}", "", stale),
		whileBusy(plain("DELETE /backups/:id", 409, "busy", "/backups/{first}", "")),
		failing("Delete", snapshot.ErrRefused, plain("DELETE /backups/:id", 409, "refused", "/backups/{first}", "")),
		failing("Delete", errBroken, plain("DELETE /backups/:id", 500, "failed", "/backups/{first}", "")),
		failing("Delete", snapshot.ErrNoSpace, plain("DELETE /backups/:id", 507, "no_space", "/backups/{first}", "")),
		plain("GET /quarantines", 200, "", "/quarantines", ""),
		failing("Quarantines", errBroken, plain("GET /quarantines", 500, "failed", "/quarantines", "")),
		kept(plain("DELETE /quarantines/:name", 204, "", "/quarantines/"+keptName, "")),
		plain("DELETE /quarantines/:name", 404, "not_found", "/quarantines/corrupted_20251031_120600", ""),
		plain("DELETE /quarantines/:name", 404, "not_found", "/quarantines/{first}", ""),
		whileBusy(kept(plain("DELETE /quarantines/:name", 409, "busy", "/quarantines/"+keptName, ""))),
		failing("Delete", snapshot.ErrBusy, kept(plain("DELETE /quarantines/:name", 409, "busy", "/quarantines/"+keptName, ""))),
		failing("Delete", errBroken, kept(plain("DELETE /quarantines/:name", 500, "failed", "/quarantines/"+keptName, ""))),
		failing("Delete", snapshot.ErrNoSpace, kept(plain("DELETE /quarantines/:name", 507, "no_space", "/quarantines/"+keptName, ""))),
		plain("GET /remotes", 200, "", "/remotes", ""),
		failing("Status", errBroken, plain("GET /remotes", 500, "failed", "/remotes", "")),
		{"POST /remotes/:name/sync", 202, "", func(tb *table) answer {
			r := tb.ask("POST", "/remotes/nas/sync", "")
			tb.finish(r)
			return r
		}},
		plain("POST /remotes/:name/sync", 404, "not_found", "/remotes/nowhere/sync", ""),
		failing("Status", errBroken, plain("POST /remotes/:name/sync", 500, "failed", "/remotes/nas/sync", "")),
		{"POST /remotes/:name/sync", 409, "busy", func(tb *table) answer {
			entered, release := tb.f.holds("SyncRemote")
			op := decodeOperation(tb.t, tb.ask("POST", "/remotes/nas/sync", ""), 202)
			<-entered
			defer tb.wait(op.ID)
			defer release()
			return tb.ask("POST", "/remotes/nas/sync", "")
		}},
		{"POST /backups/:id/verify", 202, "", func(tb *table) answer {
			r := tb.ask("POST", "/backups/latest/verify", "", "If-Match: *")
			tb.finish(r)
			return r
		}},
		plain("POST /backups/:id/verify", 404, "not_found", "/backups/nosuch/verify", ""),
		plain("POST /backups/:id/verify", 409, "stale", "/backups/{first}/verify", "", stale),
		whileBusy(plain("POST /backups/:id/verify", 409, "busy", "/backups/{first}/verify", "")),
		plain("POST /backups/:id/verify", 422, "invalid", "/backups/{first}/verify", `{"level":"probe"}`),
		failing("Find", errBroken, plain("POST /backups/:id/verify", 500, "failed", "/backups/{first}/verify", "")),
		{"POST /backups/:id/drill", 202, "", func(tb *table) answer {
			r := tb.ask("POST", "/backups/latest/drill", "")
			tb.finish(r)
			return r
		}},
		plain("POST /backups/:id/drill", 404, "not_found", "/backups/nosuch/drill", ""),
		plain("POST /backups/:id/drill", 409, "stale", "/backups/{first}/drill", "", stale),
		whileBusy(plain("POST /backups/:id/drill", 409, "busy", "/backups/{first}/drill", "")),
		failing("Find", errBroken, plain("POST /backups/:id/drill", 500, "failed", "/backups/{first}/drill", "")),

		plain("POST /backups/:id/restore-plan", 200, "", "/backups/{first}/restore-plan", ""),
		plain("POST /backups/:id/restore-plan", 200, "", "/backups/{first}/restore-plan", " {}\n"),
		plain("POST /backups/:id/restore-plan", 404, "not_found", "/backups/nosuch/restore-plan", ""),
		plain("POST /backups/:id/restore-plan", 409, "stale", "/backups/{first}/restore-plan", "", stale),
		failing("PlanRestore", snapshot.ErrCorrupt, plain("POST /backups/:id/restore-plan", 409, "corrupt", "/backups/{first}/restore-plan", "")),
		failing("PlanRestore", errBroken, plain("POST /backups/:id/restore-plan", 500, "failed", "/backups/{first}/restore-plan", "")),
		failing("PlanRestore", snapshot.ErrNoSpace, plain("POST /backups/:id/restore-plan", 507, "no_space", "/backups/{first}/restore-plan", "")),
		plain("POST /undo-plan", 404, "not_found", "/undo-plan", ""),
		failing("Replaced", snapshot.ErrRefused, plain("POST /undo-plan", 409, "refused", "/undo-plan", "")),
		failing("Replaced", errBroken, plain("POST /undo-plan", 500, "failed", "/undo-plan", "")),
		undone(200, ""),
		failing("PlanRestore", snapshot.ErrNoSpace, undone(507, "no_space")),
		plain("POST /acknowledge-recovery", 200, "", "/acknowledge-recovery", ""),
		failing("AcknowledgeRecovery", snapshot.ErrBusy, plain("POST /acknowledge-recovery", 409, "busy", "/acknowledge-recovery", "")),
		failing("AcknowledgeRecovery", errBroken, plain("POST /acknowledge-recovery", 500, "failed", "/acknowledge-recovery", "")),
		planned(507, "no_space", "data.db", func(tb *table) {
			tb.f.fails("PlanHolds", snapshot.ErrNoSpace)
			tb.t.Cleanup(func() { tb.f.on("PlanHolds", nil) })
		}),
		{"POST /backups/:id/restore", 202, "", func(tb *table) answer {
			r := planned(202, "", "data.db", nil).do(tb)
			tb.finish(r)
			return r
		}},
		plain("POST /backups/:id/restore", 404, "not_found", "/backups/nosuch/restore", `{"token":"x","confirm":"data.db"}`),
		plain("POST /backups/:id/restore", 409, "stale", "/backups/{first}/restore", `{"token":"x","confirm":"data.db"}`),
		planned(409, "stale", "data.db", func(tb *table) { // the backup is not what it was
			tb.f.fails("PlanHolds", snapshot.ErrStale)
			tb.t.Cleanup(func() { tb.f.on("PlanHolds", nil) })
		}),
		whileBusy(planned(409, "busy", "data.db", nil)),
		planned(422, "wrong_name", "data", nil),
		plain("POST /backups/:id/restore", 422, "invalid", "/backups/{first}/restore", `{"token":"x"}`),
		plain("POST /backups/:id/restore", 422, "invalid", "/backups/{first}/restore", ""),
		failing("Find", errBroken, plain("POST /backups/:id/restore", 500, "failed", "/backups/{first}/restore", `{"token":"x","confirm":"data.db"}`)),

		plain("GET /backups/:id/tables", 200, "", "/backups/{first}/tables", ""),
		plain("GET /backups/:id/tables", 404, "not_found", "/backups/nosuch/tables", ""),
		failing("Tables", snapshot.ErrCorrupt, plain("GET /backups/:id/tables", 409, "corrupt", "/backups/{first}/tables", "")),
		failing("Tables", errBroken, plain("GET /backups/:id/tables", 500, "failed", "/backups/{first}/tables", "")),
		plain("GET /backups/:id/tables/:table/rows", 200, "", "/backups/{first}/tables/accounts/rows?limit=1000&offset=0", ""),
		plain("GET /backups/:id/tables/:table/rows", 404, "not_found", "/backups/{first}/tables/nosuch/rows", ""),
		plain("GET /backups/:id/tables/:table/rows", 422, "invalid", "/backups/{first}/tables/accounts/rows?limit=1001", ""),
		plain("GET /backups/:id/tables/:table/rows", 422, "invalid", "/backups/{first}/tables/accounts/rows?offset=-1", ""),
		failing("Rows", snapshot.ErrCorrupt, plain("GET /backups/:id/tables/:table/rows", 409, "corrupt", "/backups/{first}/tables/accounts/rows", "")),
		failing("Rows", errBroken, plain("GET /backups/:id/tables/:table/rows", 500, "failed", "/backups/{first}/tables/accounts/rows", "")),
		plain("GET /backups/:id/rows", 200, "", "/backups/{first}/rows?table=accounts&limit=1000", ""),
		failing("Rows", snapshot.ErrCorrupt, plain("GET /backups/:id/rows", 409, "corrupt", "/backups/{first}/rows?table=accounts", "")),
		plain("GET /backups/:id/diff/:other", 200, "", "/backups/{first}/diff/live", ""),
		plain("GET /backups/:id/diff/:other", 200, "", "/backups/live/diff/{first}?table=accounts&offset=0&limit=1000", ""),
		plain("GET /backups/:id/diff/:other", 404, "not_found", "/backups/{first}/diff/nosuch", ""),
		plain("GET /backups/:id/diff/:other", 404, "not_found", "/backups/{first}/diff/live?table=nosuch", ""),
		plain("GET /backups/:id/diff/:other", 200, "", "/backups/{first}/diff/live?table=accounts&op=delete", ""),
		plain("GET /backups/:id/diff/:other", 422, "invalid", "/backups/{first}/diff/live?limit=10", ""),
		plain("GET /backups/:id/diff/:other", 422, "invalid", "/backups/{first}/diff/live?table=accounts&op=drop", ""),
		plain("GET /backups/:id/diff/:other", 422, "invalid", "/backups/{first}/diff/live?table=accounts&offset=-1", ""),
		plain("GET /backups/:id/diff/:other", 422, "invalid", "/backups/{first}/diff/live?table=accounts&limit=1001", ""),
		failing("Diff", snapshot.ErrCorrupt, plain("GET /backups/:id/diff/:other", 409, "corrupt", "/backups/{first}/diff/live", "")),
		failing("Diff", errBroken, plain("GET /backups/:id/diff/:other", 500, "failed", "/backups/{first}/diff/live", "")),
		plain("POST /backups/:id/query", 200, "", "/backups/{first}/query", `{"sql":"SELECT 1, NULL, x'00', 9007199254740993, 0.5, 'text'","limit":1}`),
		plain("POST /backups/:id/query", 200, "", "/backups/{first}/query", `{"sql":"SELECT * FROM accounts WHERE 0"}`),
		plain("POST /backups/:id/query", 404, "not_found", "/backups/nosuch/query", `{"sql":"SELECT 1"}`),
		plain("POST /backups/:id/query", 422, "sql", "/backups/{first}/query", `{"sql":"SELEKT 1"}`),
		plain("POST /backups/:id/query", 422, "invalid", "/backups/{first}/query", `{}`),
		plain("POST /backups/:id/query", 422, "invalid", "/backups/{first}/query", `{"sql":"SELECT 1","limit":0}`),
		plain("POST /backups/:id/query", 422, "invalid", "/backups/{first}/query", `{"sql":"SELECT 1","limit":1001}`),
		plain("POST /backups/:id/query", 409, "refused", "/backups/{first}/query", `{"sql":"DELETE FROM accounts"}`),
		failing("Query", context.DeadlineExceeded, plain("POST /backups/:id/query", 503, "timeout", "/backups/{first}/query", `{"sql":"SELECT 1"}`)),
		failing("Query", errBroken, plain("POST /backups/:id/query", 500, "failed", "/backups/{first}/query", `{"sql":"SELECT 1"}`)),
		{"POST /backups/:id/query", 403, "queries_off", func(tb *table) answer {
			tb.o.AllowQuery = false
			defer func() { tb.o.AllowQuery = true }()
			return tb.ask("POST", "/backups/"+tb.first.ID+"/query", `{"sql":"SELECT 1"}`)
		}},
		plain("GET /backups/:id/download", 200, "", "/backups/{first}/download", ""),
		plain("GET /backups/:id/download", 206, "", "/backups/{first}/download", "", "Range: bytes=0-3"),
		plain("GET /backups/:id/download", 404, "not_found", "/backups/nosuch/download", ""),
		{"GET /backups/:id/download", 304, "", func(tb *table) answer {
			return tb.ask("GET", "/backups/"+tb.first.ID+"/download", "", `If-None-Match: "`+tb.first.ImageBLAKE3+`"`)
		}},
		plain("GET /backups/:id/download", 412, "", "/backups/{first}/download", "", `If-Match: "other"`),
		plain("GET /backups/:id/download", 416, "", "/backups/{first}/download", "", "Range: bytes=99999999-"),
		{"GET /backups/:id/download", 409, "refused", func(tb *table) answer {
			b := tb.backup("linked away")
			path := tb.m.ArchivePath(b.Backup)
			if err := errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)); err != nil {
				tb.t.Fatal(err)
			}
			return tb.ask("GET", "/backups/"+b.ID+"/download", "")
		}},
		failing("Find", errBroken, plain("GET /backups/:id/download", 500, "failed", "/backups/{first}/download", "")),
		{"GET /backups/:id/download", 403, "downloads_off", func(tb *table) answer {
			tb.o.AllowDownload = false
			defer func() { tb.o.AllowDownload = true }()
			return tb.ask("GET", "/backups/"+tb.first.ID+"/download", "")
		}},

		{"POST /check", 202, "", func(tb *table) answer {
			r := tb.ask("POST", "/check", `{"level":"header"}`)
			tb.finish(r)
			return r
		}},
		{"POST /check", 409, "busy", func(tb *table) answer {
			entered, release := tb.f.holds("Check")
			op := decodeOperation(tb.t, tb.ask("POST", "/check", ""), 202)
			<-entered
			defer tb.wait(op.ID)
			defer release()
			return tb.ask("POST", "/check", "")
		}},
		plain("POST /check", 422, "invalid", "/check", `{"level":"deep"}`),
		plain("GET /operations", 200, "", "/operations?limit=50", ""),
		plain("GET /operations", 422, "invalid", "/operations?limit=51", ""),
		{"GET /operations/:id", 200, "", func(tb *table) answer { return tb.ask("GET", "/operations/"+tb.ops.list()[0].ID, "") }},
		plain("GET /operations/:id", 404, "not_found", "/operations/nosuch", ""),
		{"DELETE /operations/:id", 202, "", func(tb *table) answer {
			entered, release := tb.f.holds("Backup")
			defer release()
			op := decodeOperation(tb.t, tb.ask("POST", "/backups", ""), 202)
			<-entered
			defer tb.wait(op.ID)
			return tb.ask("DELETE", "/operations/"+op.ID, "")
		}},
		{"DELETE /operations/:id", 409, "not_cancellable", func(tb *table) answer { return tb.ask("DELETE", "/operations/"+tb.ops.list()[0].ID, "") }},
		plain("DELETE /operations/:id", 404, "not_found", "/operations/nosuch", ""),
		{"GET /events", 200, "", func(tb *table) answer {
			e := tb.eventsFrom(tb.t.Context(), tb.server.URL)
			e.next()
			return answer{t: tb.t, status: 200, header: http.Header{}}
		}},
		failing("Revision", errBroken, plain("GET /events", 500, "failed", "/events", "")),
		plain("GET /healthz", 200, "", "/healthz", ""),
		plain("GET /healthz", 422, "invalid", "/healthz", "[]"),
		plain("GET /readyz", 422, "invalid", "/readyz", "[]"),
		plain("GET /metrics", 422, "invalid", "/metrics", "[]"),
		plain("GET /readyz", 200, "", "/readyz", ""),
		failing("Status", errBroken, plain("GET /readyz", 503, "", "/readyz", "")),
		plain("GET /metrics", 200, "", "/metrics", ""),
	}
}

// generalCases are those that every route has for the same reasons.
func generalCases() (all []routeCase) {
	for _, rt := range serviceRoutes() {
		name := rt.method + " " + rt.path
		path := strings.Replace(rt.path, ":id", "{first}", 1)
		if rt.path == "/operations/:id" {
			path = "/operations/nosuch"
		}
		if rt.right == "" && rt.path != "/metrics" {
			continue
		}
		all = append(all,
			plain(name, 401, "unauthorized", path, "", "X-Who: "),
			plain(name, 500, "failed", path, "", "X-Who: broken"),
			routeCase{name, 403, "forbidden", func(tb *table) answer {
				tb.setRights()
				defer tb.setRights(AllRights()...)
				return plain(name, 403, "forbidden", path, "").do(tb)
			}})
		if rt.path == "/metrics" {
			continue
		}
		all = append(all, plain(name, 422, "invalid", path+"?verbose=1", ""))
		if strings.Contains(rt.path, ":id") {
			all = append(all, plain(name, 404, "not_found", strings.Replace(rt.path, ":id", "a%5Cb", 1), ""))
		}
		if rt.method != http.MethodGet && rt.method != http.MethodDelete || rt.body > 0 {
			all = append(all, plain(name, 403, "cross_origin", path, "", "Sec-Fetch-Site: cross-site"))
		}
		if rt.body > 0 {
			all = append(all,
				plain(name, 413, "too_large", path, `{"note":"`+strings.Repeat(" ", int(rt.body))+`"}`),
				plain(name, 415, "unsupported_media_type", path, "{}", "Content-Type: text/plain"),
				plain(name, 422, "invalid", path, "{"),
				plain(name, 422, "invalid", path, `{"unknown":1}`))
		} else if rt.method != http.MethodGet {
			all = append(all,
				plain(name, 422, "invalid", path, `{"note":""}`),
				plain(name, 422, "invalid", path, "{}", "Content-Type: text/plain"))
		}
	}
	return all
}

// Lost if this fails: an answer that no program was written for.
func TestEveryRouteAndStatus(t *testing.T) {
	tb := newTable(t)
	seen := make(map[string]bool)
	for _, c := range slices.Concat(routeCases(), rowsBackCases(), logCases(), generalCases()) {
		t.Run(fmt.Sprint(c.route, " ", c.status, " ", c.code), func(t *testing.T) {
			was := tb.t
			tb.t = t
			defer func() { tb.t = was }()
			r := c.do(tb)
			if c.code != "" {
				r.problem(c.status, c.code)
			} else {
				r.into(c.status, nil)
			}
			seen[fmt.Sprint(c.route, " ", c.status)] = true
		})
	}
	if t.Failed() {
		return
	}
	// Closed, every route says so.
	if err := tb.Handler.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, rt := range serviceRoutes() {
		path := strings.Replace(rt.path, ":id", tb.first.ID, 1)
		tb.ask(rt.method, path, "").problem(503, "unavailable")
		seen[rt.method+" "+rt.path+" 503"] = true
	}
	throttled(t, seen)
	declaredStatuses(t, seen)
}

// throttled asks with wrong tokens until those are too many.
func throttled(t *testing.T, seen map[string]bool) {
	a := openAPI(t, nil, func(_ *snapshot.Config, o *Options) { o.Authorize = nil })
	for i := range 200 {
		if r := a.ask("GET", "/status", "", fmt.Sprintf("Authorization: Bearer wrong%d", i)); r.status == 429 {
			break
		}
	}
	for _, rt := range serviceRoutes() {
		if rt.right == "" && rt.path != "/metrics" {
			continue
		}
		r := a.ask(rt.method, strings.Replace(rt.path, ":id", "x", 1), "", "Authorization: Bearer wrong")
		r.problem(429, "throttled")
		if r.header.Get("Retry-After") == "" {
			t.Errorf("%s %s does not say when to try again", rt.method, rt.path)
		}
		seen[rt.method+" "+rt.path+" 429"] = true
	}
}

// declaredStatuses compares what was seen with the table and the OpenAPI file.
func declaredStatuses(t *testing.T, seen map[string]bool) {
	for _, rt := range serviceRoutes() {
		ok := false
		for _, status := range []string{"200", "202", "204"} {
			ok = ok || seen[rt.method+" "+rt.path+" "+status]
		}
		if !ok {
			t.Errorf("%s %s has no case that goes well", rt.method, rt.path)
		}
	}
	doc := apiDocument()
	declared := make(map[string]bool)
	for _, rt := range serviceRoutes() {
		op, _ := doc.operation(rt.method, templated(rt.path))
		for status := range op.Responses {
			declared[rt.method+" "+rt.path+" "+status] = true
		}
		for status := 200; status < 600; status++ {
			key := rt.method + " " + rt.path + " " + strconv.Itoa(status)
			switch {
			case declared[key] && !seen[key]:
				t.Errorf("%s is declared, and has no case", key)
			case seen[key] && !declared[key]:
				t.Errorf("%s was answered, and is not declared", key)
			}
		}
	}
}
