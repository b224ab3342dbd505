package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"example.com/snapd/snapshot"
)

func operationRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/operations", right: RightView, query: []string{"limit"}, handle: (*Handler).listOperations},
		{method: http.MethodGet, path: "/operations/:id", right: RightView, handle: (*Handler).getOperation},
		{method: http.MethodDelete, path: "/operations/:id", right: RightView, handle: (*Handler).cancelOperation},
	}
}

type operationDocument struct {
	Operation operation `json:"operation"`
}

type operationPage struct {
	Operations []operation `json:"operations"`
}

// begin starts an operation for c and answers 202, or reports the operation in its way.
func (h *Handler) begin(w http.ResponseWriter, c *call, kind snapshot.Operation, trigger, about string, work func(context.Context) (any, error)) error {
	op, err := h.ops.start(kind, nameOf(c.who), trigger, about, work)
	if err != nil {
		h.refused(c, string(kind), about, err)
		return err
	}
	return h.accepted(w, c, op)
}

// accepted answers 202 with the operation and where to ask for it: from where the
// request went, for a proxy may have stripped a prefix that only the client knows.
func (h *Handler) accepted(w http.ResponseWriter, c *call, op operation) error {
	up := strings.Count(strings.TrimPrefix(c.URL.Path, h.o.APIPrefix+"/"), "/")
	w.Header().Set("Location", strings.Repeat("../", up)+"operations/"+op.ID)
	return writeJSON(w, http.StatusAccepted, operationDocument{op})
}

// refused notes in the activity log what was not begun.
func (h *Handler) refused(c *call, action, about string, err error) {
	p := problemOf(err)
	a := snapshot.Activity{Who: nameOf(c.who), Action: action, Outcome: "refused", Code: p.Code, Detail: p.Detail}
	if action == string(snapshot.OpSync) {
		a.Remote = about
	} else {
		a.Backup = about
	}
	h.notBegun.get(action).record(h, a, h.now())
}

// happened is called after a change for which the Manager may send no event.
func (h *Handler) happened() {
	h.status.forget()
	h.points.forget()
	h.hub.changed()
}

func (h *Handler) listOperations(w http.ResponseWriter, c *call) error {
	limit, err := number(c.query, "limit", keepOperations, keepOperations)
	if err != nil {
		return err
	}
	all := h.ops.list()
	return writeJSON(w, http.StatusOK, operationPage{all[:min(len(all), limit)]})
}

var errNoOperation = fail(http.StatusNotFound, "not_found", "there is no such operation; old ones are removed from the activity log in time", "list the operations")

func (h *Handler) getOperation(w http.ResponseWriter, c *call) error {
	op, err := h.ops.get(c.param("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, operationDocument{op})
}

func (h *Handler) cancelOperation(w http.ResponseWriter, c *call) error {
	op, err := h.ops.get(c.param("id"))
	if err != nil {
		return err
	}
	if err := h.need(c, rightOf[op.Kind]); err != nil {
		return err
	}
	op, err = h.ops.cancel(op.ID, nameOf(c.who))
	if err != nil {
		var p *problem
		if errors.As(err, &p) {
			p.Operation = c.param("id")
		}
		return err
	}
	return h.accepted(w, c, op)
}
