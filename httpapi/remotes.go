package httpapi

import (
	"context"
	"net/http"
	"slices"

	"example.com/snapd/snapshot"
)

func remoteRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/remotes", right: RightView, handle: listRemotes},
		{method: http.MethodPost, path: "/remotes/:name/sync", right: RightCreate, handle: syncRemote},
	}
}

type remoteList struct {
	Remotes []snapshot.RemoteStatus `json:"remotes"`
}

// listRemotes says how far the places off this machine are, as known here: no store is asked.
func listRemotes(h *Handler, w http.ResponseWriter, c *call) error {
	s, err := h.status.get(c.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, remoteList{notNull(s.Remotes)})
}

// syncRemote sends what is missing at a remote.
func syncRemote(h *Handler, w http.ResponseWriter, c *call) error {
	s, err := h.status.get(c.Context())
	if err != nil {
		return err
	}
	name := c.param("name")
	if !slices.ContainsFunc(s.Remotes, func(r snapshot.RemoteStatus) bool { return r.Name == name }) {
		return fail(http.StatusNotFound, "not_found", "there is no remote of that name", "GET /remotes lists those that there are")
	}
	return h.begin(w, c, snapshot.OpSync, "", name, func(ctx context.Context) (any, error) {
		return h.m.SyncRemote(ctx, name)
	})
}
