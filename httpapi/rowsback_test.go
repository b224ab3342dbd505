package httpapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost if this fails: rows that a person chose on the page, or the care with which they come back.
func TestRowsComeBackInTwoSteps(t *testing.T) {
	t.Parallel()
	a := openAPI(t, nil)
	change := func(sql string) string {
		t.Helper()
		return testdb.ShellQuery(t, a.m.Database(), sql)
	}
	change("CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT, b BLOB); CREATE TABLE tag(word TEXT, n BLOB, PRIMARY KEY(word, n)); INSERT INTO thing VALUES(1,'a',NULL),(2,'b',x'00'),(9007199254740993,'c',NULL); INSERT INTO tag VALUES('x',x'01'),('y',2.5)")
	b := a.backup("with all of them")
	change("DELETE FROM thing WHERE id<>1; UPDATE thing SET name='changed' WHERE id=1; DELETE FROM tag")
	at := "/backups/" + b.ID

	var diff struct {
		Tables []struct {
			Removed   int
			Truncated bool
			Rows      []struct{ Op snapshot.RowOp }
		}
	}
	a.ask("GET", at+"/diff/live?table=thing&op=update&limit=1", "").into(200, &diff)
	if len(diff.Tables) != 1 || len(diff.Tables[0].Rows) != 1 || diff.Tables[0].Rows[0].Op != snapshot.RowUpdated || diff.Tables[0].Truncated || diff.Tables[0].Removed != 2 {
		t.Errorf("only what was changed: %+v", diff)
	}

	var doc struct {
		Plan struct {
			Token, Table                string
			Rows, Inserted, Conflicting int64
			Changes                     []json.RawMessage
		}
	}
	a.ask("POST", at+"/rows-plan", `{"table":"thing","missing":true}`).into(200, &doc)
	if doc.Plan.Inserted != 2 || doc.Plan.Conflicting != 0 || doc.Plan.Token == "" || len(doc.Plan.Changes) != 2 {
		t.Fatalf("%+v", doc.Plan)
	}
	a.ask("POST", at+"/restore", fmt.Sprintf(`{"token":%q,"confirm":"data.db"}`, doc.Plan.Token)).problem(409, "stale") // it is no restore's
	body := fmt.Sprintf(`{"token":%q}`, doc.Plan.Token)
	op := a.wait(decodeOperation(t, a.ask("POST", at+"/rows", body), 202).ID)
	if op.State != "done" {
		t.Fatalf("%+v", op)
	}
	a.ask("POST", at+"/rows", body).problem(409, "stale") // once only
	if got := change("SELECT group_concat(id||name) FROM (SELECT * FROM thing ORDER BY id)"); got != "1changed,2b,9007199254740993c" {
		t.Errorf("the table has %s", got)
	}

	// Keys, with an integer that JSON's readers lose, and a blob.
	change("DELETE FROM thing WHERE id>2")
	for body, table := range map[string]string{
		`{"table":"thing","keys":[{"id":"9007199254740993"},{"id":2}]}`:                                   "thing",
		`{"table":"tag","keys":[{"word":"x","n":{"base64":"AQ=="}},{"n":2.5,"word":"y"}],"missing":true}`: "tag",
	} {
		a.ask("POST", at+"/rows-plan", body).into(200, &doc)
		if doc.Plan.Inserted < 1 || doc.Plan.Table != table {
			t.Errorf("%s: %+v", body, doc.Plan)
		}
	}

	// A conflict is shown first, and decided in the second step.
	a.ask("POST", at+"/rows-plan", `{"table":"thing","changed":true,"missing":true}`).into(200, &doc)
	if doc.Plan.Conflicting != 1 || doc.Plan.Inserted != 1 {
		t.Errorf("gone and others: %+v", doc.Plan)
	}
	a.ask("POST", at+"/rows-plan", `{"table":"thing","changed":true}`).into(200, &doc)
	if doc.Plan.Conflicting != 1 || len(doc.Plan.Changes) != 1 || doc.Plan.Rows != 1 {
		t.Fatalf("%+v", doc.Plan)
	}
	op = a.wait(decodeOperation(t, a.ask("POST", at+"/rows", fmt.Sprintf(`{"token":%q,"on_conflict":"replace"}`, doc.Plan.Token)), 202).ID)
	if got := change("SELECT name FROM thing WHERE id=1"); op.State != "done" || got != "a" {
		t.Errorf("%s: %+v", got, op)
	}

	for body, code := range map[string]string{
		`{"table":"thing"}`:                                                            "invalid",
		`{"table":"thing","keys":[{"name":"a"}]}`:                                      "invalid",
		`{"table":"thing","keys":[{"id":true}]}`:                                       "invalid",
		`{"table":"thing","keys":[[1]]}`:                                               "invalid",
		`{"table":"thing","keys":[{"id":{"base64":"!"}}]}`:                             "invalid",
		`{"table":"thing","where":"1); DROP TABLE thing"}`:                             "invalid",
		`{"table":"thing","keys":[` + strings.Repeat(`{"id":1},`, 1000) + `{"id":1}]}`: "invalid",
	} {
		a.ask("POST", at+"/rows-plan", body).problem(422, code)
	}
}

// Lost if this fails: SQL from one who may restore, and not ask.
func TestRowsByAnExpressionNeedTheRightToAsk(t *testing.T) {
	t.Parallel()
	a := openAPI(t, nil)
	b := a.backup("x")
	a.setRights(RightView, RightRestore)
	a.ask("POST", "/backups/"+b.ID+"/rows-plan", `{"table":"accounts","where":"1"}`).problem(403, "forbidden")
	a.ask("POST", "/backups/"+b.ID+"/rows-plan", `{"table":"accounts","missing":true}`).into(200, &rowsPlanDocument{})
	a.setRights(RightView, RightQuery)
	a.ask("POST", "/backups/"+b.ID+"/rows-plan", `{"table":"accounts","missing":true}`).problem(403, "forbidden")
}

// Lost if this fails: what is in the rows, to those who may see counts only, or to the log of activity.
func TestRowsAreShownToThoseWhoMaySeeThem(t *testing.T) {
	t.Parallel()
	a := openAPI(t, nil)
	testdb.ShellQuery(t, a.m.Database(), "CREATE TABLE secret(id TEXT PRIMARY KEY, v); INSERT INTO secret VALUES('hidden key','hidden value'),('hidden too','hidden')")
	b := a.backup("x")
	testdb.ShellQuery(t, a.m.Database(), "DELETE FROM secret WHERE id='hidden key'; UPDATE secret SET v='other'")
	plan := func() answer {
		return a.ask("POST", "/backups/"+b.ID+"/rows-plan", `{"table":"secret","keys":[{"id":"hidden key"},{"id":"hidden too"}]}`)
	}
	if shown := plan(); !strings.Contains(string(shown.body), "hidden value") {
		t.Fatalf("%s", shown.body)
	}
	a.setRights(RightView, RightRestore)
	shown := plan()
	var doc rowsPlanDocument
	shown.into(200, &doc)
	if doc.Plan.Inserted != 1 || doc.Plan.Conflicting != 1 {
		t.Errorf("%+v", doc.Plan)
	}
	op := a.wait(decodeOperation(t, a.ask("POST", "/backups/"+b.ID+"/rows", fmt.Sprintf(`{"token":%q,"on_conflict":"replace"}`, doc.Plan.Token)), 202).ID)
	if op.State != "done" {
		t.Fatalf("%+v", op)
	}
	log, err := os.ReadFile(filepath.Join(a.m.Dir(), "activity.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"the plan": string(shown.body), "the operation": string(a.ask("GET", "/operations/"+op.ID, "").body), "the log": string(log)} {
		if strings.Contains(text, "hidden") {
			t.Errorf("%s: %s", what, text)
		}
	}
}

// Lost if this fails: what is in rows, by the texts of errors, to those who may see counts only, to the log of activity and to the host's log.
func TestErrorsOfRowsSayNothingOfThem(t *testing.T) {
	t.Parallel()
	var logged lockedBuffer
	a := openAPI(t, nil, func(c *snapshot.Config, _ *Options) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.OnEvent = func(e snapshot.Event) { fmt.Fprintf(&logged, "%+v %v\n", e, e.Err) }
	})
	change := func(sql string) { t.Helper(); testdb.ShellQuery(t, a.m.Database(), sql) }
	change(`CREATE TABLE secret(id TEXT PRIMARY KEY, v, CHECK(v <> 'x')); CREATE UNIQUE INDEX lowered ON secret(lower(v));
		CREATE TABLE child(id TEXT PRIMARY KEY, parent REFERENCES secret(id)); INSERT INTO secret VALUES('hidden key','hidden value'); INSERT INTO child VALUES('hidden child','hidden key')`)
	b := a.backup("x")
	a.setRights(RightView, RightRestore)
	for _, c := range []struct{ change, table, says string }{
		{"UPDATE secret SET v='hidden too'", "secret", "a row of secret is another one now"},
		{"UPDATE secret SET v='hidden value', id='hidden id'", "secret", "a row of secret: UNIQUE constraint failed"},
		{"DELETE FROM child; DELETE FROM secret", "child", "a row of child refers to a row of secret"},
		{"CREATE TRIGGER r BEFORE INSERT ON secret BEGIN SELECT json_extract('{}', new.v); END", "secret", "a row of secret: SQLite or a trigger refused it"},
		{"DROP TRIGGER r; CREATE TRIGGER r BEFORE INSERT ON secret BEGIN SELECT RAISE(FAIL, 'hidden words'); END", "secret", "a row of secret: SQLite or a trigger refused it"},
	} {
		change(c.change)
		var doc rowsPlanDocument
		a.ask("POST", "/backups/"+b.ID+"/rows-plan", fmt.Sprintf(`{"table":%q,"missing":true,"changed":true}`, c.table)).into(200, &doc)
		op := a.wait(decodeOperation(t, a.ask("POST", "/backups/"+b.ID+"/rows", fmt.Sprintf(`{"token":%q}`, doc.Plan.Token)), 202).ID)
		if op.State != "failed" || !strings.Contains(op.Error.Message, c.says) {
			t.Errorf("%s: %+v, %+v", c.change, op, op.Error)
		}
		o := snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Table: c.table, Missing: true, Changed: true}}
		if _, err := a.m.RestoreRows(t.Context(), b.ID, o); err == nil || c.table == "secret" && !strings.Contains(err.Error(), "hidden ") {
			t.Errorf("who asks does not learn which row it is: %v", err)
		}
	}
	log, err := os.ReadFile(filepath.Join(a.m.Dir(), "activity.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"the activity log": string(log), "the host": logged.String()}
	for _, path := range []string{"/operations", "/activity", "/status", "/metrics"} {
		texts[path] = string(a.ask("GET", path, "").body)
	}
	for what, text := range texts {
		if strings.Contains(text, "hidden") || text == "" {
			t.Errorf("%s: %s", what, text)
		}
	}
}

func rowsBackCases() []routeCase {
	stale := `If-Match: "0"`
	return []routeCase{
		plain("POST /backups/:id/rows-plan", 200, "", "/backups/{first}/rows-plan", `{"table":"accounts","missing":true}`),
		plain("POST /backups/:id/rows-plan", 404, "not_found", "/backups/nosuch/rows-plan", `{"table":"accounts","missing":true}`),
		plain("POST /backups/:id/rows-plan", 404, "not_found", "/backups/{first}/rows-plan", `{"table":"nosuch","missing":true}`),
		plain("POST /backups/:id/rows-plan", 409, "stale", "/backups/{first}/rows-plan", `{"table":"accounts","missing":true}`, stale),
		plain("POST /backups/:id/rows-plan", 422, "invalid", "/backups/{first}/rows-plan", `{"table":"accounts"}`),
		failing("PlanRows", errBroken, plain("POST /backups/:id/rows-plan", 500, "failed", "/backups/{first}/rows-plan", `{"table":"accounts","missing":true}`)),
		failing("PlanRows", snapshot.ErrNoSpace, plain("POST /backups/:id/rows-plan", 507, "no_space", "/backups/{first}/rows-plan", `{"table":"accounts","missing":true}`)),
		{"POST /backups/:id/rows-plan", 403, "queries_off", func(tb *table) answer {
			tb.o.AllowQuery = false
			defer func() { tb.o.AllowQuery = true }()
			return tb.ask("POST", "/backups/"+tb.first.ID+"/rows-plan", `{"table":"accounts","where":"1"}`)
		}},
		{"POST /backups/:id/rows", 202, "", func(tb *table) answer {
			r := rowsPlanned(tb)
			tb.finish(r)
			return r
		}},
		whileBusy(routeCase{"POST /backups/:id/rows", 409, "busy", rowsPlanned}),
		plain("POST /backups/:id/rows", 404, "not_found", "/backups/nosuch/rows", `{"token":"x"}`),
		plain("POST /backups/:id/rows", 409, "stale", "/backups/{first}/rows", `{"token":"x"}`),
		plain("POST /backups/:id/rows", 422, "invalid", "/backups/{first}/rows", `{"token":"x","on_conflict":"overwrite"}`),
		failing("Find", errBroken, plain("POST /backups/:id/rows", 500, "failed", "/backups/{first}/rows", `{"token":"x"}`)),
	}
}

// rowsPlanned brings rows of the first backup back with a plan that was made for it.
func rowsPlanned(tb *table) answer {
	var plan rowsPlanDocument
	tb.ask("POST", "/backups/"+tb.first.ID+"/rows-plan", `{"table":"accounts","missing":true}`).into(200, &plan)
	return tb.ask("POST", "/backups/"+tb.first.ID+"/rows", fmt.Sprintf(`{"token":%q}`, plan.Plan.Token))
}
