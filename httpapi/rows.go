package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"example.com/snapd/snapshot"
)

func rowRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/backups/:id/tables/:table/rows", right: RightRead, query: []string{"offset", "limit"}, handle: getTableRows},
		{method: http.MethodGet, path: "/backups/:id/rows", right: RightRead, query: []string{"table", "offset", "limit"}, handle: getRows},
		{method: http.MethodPost, path: "/backups/:id/query", right: RightQuery, body: queryBody, handle: postQuery},
	}
}

// Bounds of an answer with rows, and of a query, in bytes.
const (
	defaultRows  = 100
	maxRows      = 1000
	maxRowsBytes = 4 << 20
	queryBody    = 64 << 10
	queryTimeout = 10 * time.Second
)

func rowOptions(limit int) snapshot.QueryOptions {
	return snapshot.QueryOptions{Limit: limit, Timeout: queryTimeout, Bytes: maxRowsBytes}
}

// getTableRows shows the rows of the table that the path names. A slash in its name would be one of the path.
func getTableRows(h *Handler, w http.ResponseWriter, c *call) error {
	return showRows(h, w, c, c.param("table"))
}

// getRows shows the rows of a table of any name.
func getRows(h *Handler, w http.ResponseWriter, c *call) error {
	if !c.query.Has("table") {
		return invalid(`parameter "table" is needed`, "give the name of a table or view")
	}
	return showRows(h, w, c, c.query.Get("table"))
}

func showRows(h *Handler, w http.ResponseWriter, c *call, table string) error {
	limit, offset, err := rowWindow(c.query)
	if err != nil {
		return err
	}
	return show(h, w, c, "rows", func(ctx context.Context) (snapshot.QueryResult, error) {
		return h.m.Rows(ctx, c.param("id"), table, offset, rowOptions(limit))
	})
}

// rowWindow reads which rows are asked for.
func rowWindow(values url.Values) (limit int, offset int64, err error) {
	if limit, err = number(values, "limit", defaultRows, maxRows); err != nil {
		return limit, offset, err
	}
	offset, err = offsetOf(values)
	return limit, offset, err
}

type queryRequest struct {
	SQL   string `json:"sql"`
	Limit *int   `json:"limit"`
}

func postQuery(h *Handler, w http.ResponseWriter, c *call) error {
	var in queryRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	if !h.o.AllowQuery {
		return fail(http.StatusForbidden, "queries_off", "this server answers no SQL", "its administrator can switch that on; the rows of a table are at /backups/ID/tables/TABLE/rows")
	}
	limit := maxRows
	if in.Limit != nil {
		limit = *in.Limit
	}
	if in.SQL == "" || limit < 1 || limit > maxRows {
		return invalid(fmt.Sprintf(`want "sql", and "limit" from 1 to %d`, maxRows), "")
	}
	return show(h, w, c, "query", func(ctx context.Context) (snapshot.QueryResult, error) {
		return h.m.Query(ctx, c.param("id"), in.SQL, rowOptions(limit))
	})
}

// recordLook has the activity log say who looked at the data of which backup, once for several looks in a row.
func recordLook(h *Handler, c *call, what string) {
	if h.looks.begins(nameOf(c.who)+"\x00"+c.param("id")+"\x00"+what, h.now()) {
		h.m.Record(snapshot.Activity{Who: nameOf(c.who), Action: "access", Backup: c.param("id"), Outcome: "started", Detail: what + " of the data inside"})
	}
}
