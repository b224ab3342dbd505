package httpapi

import (
	"context"
	"net/http"

	"example.com/snapd/integrity"
	"example.com/snapd/snapshot"
)

func checkRoutes() []route {
	return []route{{method: http.MethodPost, path: "/check", right: RightVerify, body: smallBody, handle: (*Handler).check}}
}

// check judges the live database. Damage is a result, not a failure of the check.
func (h *Handler) check(w http.ResponseWriter, c *call) error {
	var in levelRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	level, err := in.level(integrity.LevelHeader)
	if err != nil {
		return err
	}
	return h.begin(w, c, snapshot.OpCheck, "", "", func(ctx context.Context) (any, error) {
		return h.m.Check(ctx, level)
	})
}
