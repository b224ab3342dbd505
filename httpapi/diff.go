package httpapi

import (
	"context"
	"net/http"
	"slices"

	"example.com/snapd/snapshot"
)

func diffRoutes() []route {
	return []route{{method: http.MethodGet, path: "/backups/:id/diff/:other", right: RightView, query: []string{"table", "op", "offset", "limit"}, handle: getDiff}}
}

// shownValue is how much of a text or blob the answer has, in bytes.
const shownValue = 16 << 10

// getDiff counts the rows in which two states differ; of one table it shows them, to those who may see the data.
func getDiff(h *Handler, w http.ResponseWriter, c *call) error {
	o, err := diffOptions(h, c)
	if err != nil {
		return err
	}
	what := ""
	if o.Table != "" {
		what = "changed rows"
	}
	return show(h, w, c, what, func(ctx context.Context) (snapshot.DiffResult, error) {
		return h.m.Diff(ctx, c.param("id"), c.param("other"), o)
	})
}

func diffOptions(h *Handler, c *call) (o snapshot.DiffOptions, err error) {
	if o.Table = c.query.Get("table"); o.Table == "" {
		if len(c.query) > 0 {
			return o, invalid(`parameters "op", "offset" and "limit" need "table"`, "")
		}
		return o, nil
	}
	if err := h.need(c, RightRead); err != nil {
		return o, err
	}
	if o.Rows, o.Offset, err = rowWindow(c.query); err != nil {
		return o, err
	}
	o.Op = snapshot.RowOp(c.query.Get("op"))
	if c.query.Has("op") && !slices.Contains([]snapshot.RowOp{snapshot.RowInserted, snapshot.RowDeleted, snapshot.RowUpdated}, o.Op) {
		return o, invalid(`parameter "op" is none of insert, delete and update`, "")
	}
	o.Bytes, o.Value = maxRowsBytes, shownValue
	return o, nil
}
