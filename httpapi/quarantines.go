package httpapi

import (
	"net/http"
	"slices"

	"example.com/snapd/snapshot"
)

func quarantineRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/quarantines", right: RightView, handle: (*Handler).listQuarantines},
		{method: http.MethodDelete, path: "/quarantines/:name", right: RightDelete, handle: (*Handler).deleteQuarantine},
	}
}

type quarantineList struct {
	Quarantines []snapshot.Quarantine `json:"quarantines"`
}

// listQuarantines lists the damaged databases that were kept, the oldest first.
func (h *Handler) listQuarantines(w http.ResponseWriter, c *call) error {
	all, err := h.m.Quarantines()
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, quarantineList{notNull(all)})
}

// deleteQuarantine removes one for good, with its log and its report.
func (h *Handler) deleteQuarantine(w http.ResponseWriter, c *call) error {
	all, err := h.m.Quarantines()
	if err != nil {
		return err
	}
	name := c.param("name")
	if !slices.ContainsFunc(all, func(q snapshot.Quarantine) bool { return q.Name == name }) {
		return fail(http.StatusNotFound, "not_found", "no damaged database of that name was kept", "GET /quarantines lists those that were")
	}
	if err := h.ops.writing(); err != nil {
		h.refused(c, "delete", name, err)
		return err
	}
	ctx := snapshot.WithCaller(c.Context(), snapshot.Caller{Who: nameOf(c.who)})
	if err := h.m.Delete(ctx, []string{name}, false); err != nil {
		return err
	}
	h.happened()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
