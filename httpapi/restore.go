package httpapi

import (
	"context"
	"net/http"
	"path/filepath"
	"time"

	"example.com/snapd/snapshot"
)

func restoreRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/backups/:id/restore-plan", right: RightRestore, handle: (*Handler).planRestore},
		{method: http.MethodPost, path: "/undo-plan", right: RightRestore, handle: (*Handler).planUndo},
		{method: http.MethodPost, path: "/acknowledge-recovery", right: RightRestore, handle: (*Handler).acknowledgeRecovery},
		{method: http.MethodPost, path: "/backups/:id/restore", right: RightRestore, body: smallBody, handle: (*Handler).restore},
	}
}

type planDocument struct {
	Plan planView `json:"plan"`
}

// planView is the first of the two steps of a restore: what it would mean.
type planView struct {
	Token        string     `json:"token"`
	ExpiresAt    time.Time  `json:"expires_at"`
	Backup       backupView `json:"backup"`
	LosesSince   *time.Time `json:"loses_since"` // null: nothing is lost
	LosesSeconds int64      `json:"loses_seconds"`
	EstimatedMS  int64      `json:"estimated_ms"`
	SavesFirst   bool       `json:"saves_first"` // the present state is saved before, and can be restored
	Confirm      string     `json:"confirm"`     // what must be typed
}

func (h *Handler) planRestore(w http.ResponseWriter, c *call) error {
	b, err := h.find(c)
	if err != nil {
		return err
	}
	return h.plan(w, c, b)
}

// planUndo plans the restore of what the last restore replaced; where that brought rows back, their undo.
func (h *Handler) planUndo(w http.ResponseWriter, c *call) error {
	b, err := h.m.Replaced()
	switch {
	case err != nil:
		return err
	case b.Rows != nil:
		return planRowsOf(h, w, c, b.ID, snapshot.RowsOptions{Undo: true})
	}
	return h.plan(w, c, b.Backup)
}

func (h *Handler) plan(w http.ResponseWriter, c *call, b snapshot.Backup) error {
	plan, err := h.m.PlanRestore(c.Context(), b.ID)
	if err != nil {
		return err
	}
	token, expires := h.plans.add(nameOf(c.who), plan, h.now())
	return writeJSON(w, http.StatusOK, planDocument{planView{
		Token: token, ExpiresAt: expires, Backup: showBackup(plan.Backup), LosesSince: plan.LosesSince, LosesSeconds: plan.LosesSeconds,
		EstimatedMS: plan.EstimatedMS, SavesFirst: plan.SafetyBackup, Confirm: h.confirmation(),
	}})
}

type acknowledgedDocument struct {
	Acknowledged []snapshot.Recovered `json:"acknowledged"`
}

// acknowledgeRecovery has what the recoveries lost reported no longer.
func (h *Handler) acknowledgeRecovery(w http.ResponseWriter, c *call) error {
	known, err := h.m.AcknowledgeRecovery(snapshot.WithCaller(c.Context(), snapshot.Caller{Who: nameOf(c.who)}))
	if err != nil {
		return err
	}
	h.happened()
	return writeJSON(w, http.StatusOK, acknowledgedDocument{notNull(known)})
}

// confirmation is what must be typed to restore: the database's file name.
func (h *Handler) confirmation() string { return filepath.Base(h.m.Database()) }

type restoreRequest struct {
	Token   string `json:"token"`
	Confirm string `json:"confirm"`
}

func (h *Handler) restore(w http.ResponseWriter, c *call) error {
	var in restoreRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	if in.Token == "" || in.Confirm == "" {
		return invalid(`"token" and "confirm" are both needed`, "make a plan with restore-plan first")
	}
	b, err := h.m.Find(c.param("id"))
	if err != nil {
		return err
	}
	kept, ok := h.plans.take(in.Token, nameOf(c.who), b.ID, h.now())
	if !ok {
		return h.notRestored(c, b.ID, stale())
	}
	if in.Confirm != h.confirmation() {
		h.plans.putBack(kept)
		return h.notRestored(c, b.ID, fail(http.StatusUnprocessableEntity, "wrong_name", "the name that was typed is not the database's file name",
			"type "+h.confirmation()+"; the plan stays good"))
	}
	// Asked again by the restore itself, when nothing can change any more.
	if err := h.m.PlanHolds(kept.plan); err != nil {
		return h.notRestored(c, b.ID, err)
	}
	op, err := h.ops.start(snapshot.OpRestore, nameOf(c.who), "", b.ID, func(ctx context.Context) (any, error) {
		return h.m.Restore(ctx, b.ID, snapshot.RestoreOptions{Plan: &kept.plan})
	})
	if err != nil {
		h.plans.putBack(kept) // nothing was begun
		return h.notRestored(c, b.ID, err)
	}
	return h.accepted(w, c, op)
}

// stale is the answer to every token that is not good, for every reason: a caller
// without a token learns nothing from it.
func stale() *problem {
	return fail(http.StatusConflict, "stale", "the plan was used, has expired, or no longer holds", "make a new plan and look at what it says")
}

// notRestored notes a restore that was asked for and refused.
func (h *Handler) notRestored(c *call, id string, err error) error {
	h.refused(c, string(snapshot.OpRestore), id, err)
	return err
}
