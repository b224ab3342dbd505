package httpapi

import (
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// What a person needs who knows only that rows went: between which two states.
func TestLogSaysWhenRowsWent(t *testing.T) {
	t.Parallel()
	a := openAPI(t, nil)
	change := func(sql string) { testdb.ShellQuery(t, a.m.Database(), sql) }
	change("CREATE TABLE thing(id INTEGER PRIMARY KEY); INSERT INTO thing VALUES(1),(2),(3)")
	before := a.backup("before")
	change("DELETE FROM thing WHERE id<3")
	after := a.backup("after")
	change("CREATE TABLE other(x)")
	a.backup("later")
	var page logPage
	a.ask("GET", "/points/log?table=thing&from="+before.CreatedAt.Add(time.Nanosecond).UTC().Format(time.RFC3339Nano), "").into(200, &page)
	if len(page.Points) != 1 || page.Next != nil || !page.Points[0].At.Equal(after.CreatedAt) || page.Points[0].Tables[0].Removed != 2 {
		t.Errorf("%+v", page)
	}
}

func logCases() []routeCase {
	return []routeCase{
		plain("GET /points/log", 200, "", "/points/log?table=accounts&from=2026-11-25T13:31:59Z&limit=5", ""),
		plain("GET /points/log", 422, "invalid", "/points/log?limit=201", ""),
		plain("GET /points/log", 422, "invalid", "/points/log?cursor=9.9", ""),
		failing("Log", snapshot.ErrCorrupt, plain("GET /points/log", 409, "corrupt", "/points/log", "")),
		failing("Log", errBroken, plain("GET /points/log", 500, "failed", "/points/log", "")),
	}
}
