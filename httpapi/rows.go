package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"example.com/snapd/snapshot"
)

func rowRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/backups/:id/tables/:table/rows", right: RightRead, query: []string{"offset", "limit"}, handle: getRows},
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

func getRows(h *Handler, w http.ResponseWriter, c *call) error {
	limit, err := number(c.query, "limit", defaultRows, maxRows)
	if err != nil {
		return err
	}
	offset, err := offsetOf(c.query)
	if err != nil {
		return err
	}
	ctx, leave, err := h.readingSlot(c)
	if err != nil {
		return err
	}
	defer leave()
	r, err := h.m.Rows(ctx, c.param("id"), c.param("table"), offset, rowOptions(limit))
	if err != nil {
		return err
	}
	recordLook(h, c, "rows")
	return writeJSON(w, http.StatusOK, r)
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
	ctx, leave, err := h.readingSlot(c)
	if err != nil {
		return err
	}
	defer leave()
	r, err := h.m.Query(ctx, c.param("id"), in.SQL, rowOptions(limit))
	if err != nil {
		return err
	}
	recordLook(h, c, "query")
	return writeJSON(w, http.StatusOK, r)
}

// recordLook has the activity log say who looked at the data of which backup, once for several looks in a row.
func recordLook(h *Handler, c *call, what string) {
	if h.looks.begins(nameOf(c.who)+"\x00"+c.param("id")+"\x00"+what, h.now()) {
		h.m.Record(snapshot.Activity{Who: nameOf(c.who), Action: "access", Backup: c.param("id"), Outcome: "started", Detail: what + " of the data inside"})
	}
}
