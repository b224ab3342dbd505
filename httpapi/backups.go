package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/snapshot"
)

func backupRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/backups", right: RightView, query: []string{"kind", "text", "from", "to", "limit", "cursor"}, handle: (*Handler).listBackups},
		{method: http.MethodPost, path: "/backups", right: RightCreate, body: smallBody, handle: (*Handler).createBackup},
		{method: http.MethodGet, path: "/backups/:id", right: RightView, handle: (*Handler).getBackup},
		{method: http.MethodPatch, path: "/backups/:id", right: RightConfigure, body: smallBody, handle: (*Handler).patchBackup},
		{method: http.MethodDelete, path: "/backups/:id", right: RightDelete, handle: (*Handler).deleteBackup},
		{method: http.MethodPost, path: "/backups/:id/verify", right: RightVerify, body: smallBody, handle: (*Handler).verifyBackup},
		{method: http.MethodPost, path: "/backups/:id/drill", right: RightVerify, handle: (*Handler).drillBackup},
	}
}

// backupView is a backup with the word that If-Match takes.
type backupView struct {
	snapshot.Backup
	ETag string `json:"etag"`
}

func showBackup(b snapshot.Backup) backupView { return backupView{b.Public(), tagOf(b)} }

// tagOf is the word for a backup as it may be changed: that a copy of it was sent makes no request out of date.
func tagOf(b snapshot.Backup) string {
	b = b.Public()
	b.Copies = nil
	return etagOf(b)
}

type backupPage struct {
	Backups  []backupView `json:"backups"`
	Next     *string      `json:"next_cursor"`
	Total    int          `json:"total"` // of all pages
	Revision string       `json:"revision"`
}

func (h *Handler) listBackups(w http.ResponseWriter, c *call) error {
	kind := catalog.Kind(c.query.Get("kind"))
	if c.query.Has("kind") && kind != catalog.Auto && kind != catalog.Manual {
		return invalid(`parameter "kind" must be auto or manual`, "")
	}
	limit, err := number(c.query, "limit", catalogfile.DefaultPage, catalogfile.MaxPage)
	if err != nil {
		return err
	}
	from, to, err := span(c.query)
	if err != nil {
		return err
	}
	// Before the page: a change in between gives the newer page under the older
	// word, and the next request asks again.
	revision, err := h.m.Revision()
	if err != nil {
		return err
	}
	page, err := h.m.Page(snapshot.BackupsQuery{Kind: kind, Text: c.query.Get("text"), From: from, To: to, Cursor: c.query.Get("cursor"), Limit: limit})
	if err != nil {
		return cursorError(err)
	}
	if fresh(w, c.Request, hashOf(revision)) {
		return nil
	}
	out := backupPage{Backups: make([]backupView, 0, len(page.Backups)), Next: cursor(page.Next), Total: page.Total, Revision: revision}
	for _, b := range page.Backups {
		out.Backups = append(out.Backups, showBackup(b))
	}
	return writeJSON(w, http.StatusOK, out)
}

// cursor is null after the last page.
func cursor(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}

func cursorError(err error) error {
	if errors.Is(err, snapshot.ErrCursor) {
		return invalid(`parameter "cursor" is none that was given out`, "start again without one")
	}
	return err
}

// find returns the backup or recovery point that the path names, if it is still what the client saw.
func (h *Handler) find(c *call) (snapshot.Backup, error) {
	b, err := h.m.Find(c.param("id"))
	if err != nil {
		return b, err
	}
	if seen := c.Header.Values("If-Match"); len(seen) > 0 && !matches(seen, tagOf(b)) {
		return b, fail(http.StatusConflict, "stale", "this backup was changed since it was looked at", "look at it again")
	}
	return b, nil
}

// withFile refuses what was found where it is a recovery point of the change log: that has no file, note or pin.
func withFile(b snapshot.Backup, err error) (snapshot.Backup, error) {
	if err == nil && b.File == "" {
		err = fail(http.StatusNotFound, "not_found", b.ID+" is a recovery point of the change log and no backup", "it can be looked into, tested and restored")
	}
	return b, err
}

func (h *Handler) getBackup(w http.ResponseWriter, c *call) error {
	b, err := h.m.Find(c.param("id"))
	if err != nil {
		return err
	}
	v := showBackup(b)
	tag := v.ETag
	if len(b.Copies) > 0 {
		tag = etagOf(v) // what is shown changes with them, too
	}
	if fresh(w, c.Request, tag) {
		return nil
	}
	return writeJSON(w, http.StatusOK, v)
}

type createRequest struct {
	Note string `json:"note"`
	Pin  bool   `json:"pin"`
}

func (h *Handler) createBackup(w http.ResponseWriter, c *call) error {
	var in createRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	if err := checkNote(in.Note); err != nil {
		return err
	}
	req := snapshot.Manual(in.Note)
	req.Pin = in.Pin
	return h.begin(w, c, snapshot.OpBackup, string(req.Trigger), "", func(ctx context.Context) (any, error) {
		b, err := h.m.Backup(ctx, req)
		if err != nil {
			return nil, err
		}
		return showBackup(b), nil
	})
}

func checkNote(note string) error {
	if len(note) > snapshot.MaxNote {
		return invalid(fmt.Sprintf("the note has %d bytes, and at most %d fit", len(note), snapshot.MaxNote), "shorten the note")
	}
	return nil
}

type patchRequest struct {
	Note   *string `json:"note"`
	Pinned *bool   `json:"pinned"`
}

func (h *Handler) patchBackup(w http.ResponseWriter, c *call) error {
	var in patchRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	if in.Note == nil && in.Pinned == nil {
		return invalid("nothing to change was given", `send "note", "pinned" or both`)
	}
	if in.Note != nil {
		if err := checkNote(*in.Note); err != nil {
			return err
		}
	}
	h.edits.Lock() // of two changes to the same state, one is answered that it is stale
	defer h.edits.Unlock()
	b, err := withFile(h.find(c))
	if err != nil {
		return err
	}
	ctx := snapshot.WithCaller(c.Context(), snapshot.Caller{Who: nameOf(c.who)})
	if in.Note != nil && *in.Note != b.Note {
		if b, err = h.m.SetNote(ctx, b.ID, *in.Note); err != nil {
			return err
		}
	}
	if in.Pinned != nil && *in.Pinned != b.Pinned {
		if b, err = h.m.SetPinned(ctx, b.ID, *in.Pinned); err != nil {
			return err
		}
	}
	h.happened()
	v := showBackup(b)
	w.Header().Set("ETag", `"`+v.ETag+`"`)
	return writeJSON(w, http.StatusOK, v)
}

func (h *Handler) deleteBackup(w http.ResponseWriter, c *call) error {
	h.edits.Lock()
	defer h.edits.Unlock()
	b, err := withFile(h.find(c))
	if err != nil {
		return err
	}
	if err := h.ops.writing(); err != nil {
		h.refused(c, "delete", b.ID, err)
		return err
	}
	ctx := snapshot.WithCaller(c.Context(), snapshot.Caller{Who: nameOf(c.who)})
	if err := h.m.Delete(ctx, []string{b.ID}, false); err != nil {
		return keptBack(b, err)
	}
	h.happened()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// keptBack returns why a backup may not be deleted by a user who has no --force, as the
// error's own advice supposes.
func keptBack(b snapshot.Backup, err error) error {
	switch {
	case !errors.Is(err, snapshot.ErrRefused):
		return err
	case b.Pinned:
		return fail(http.StatusConflict, "refused", "this backup is pinned", "unpin it first")
	default:
		return fail(http.StatusConflict, "refused", "this is the last verified backup: without it nothing would protect the database",
			"make another backup first")
	}
}

type levelRequest struct {
	Level string `json:"level"`
}

// level reads the level of a check, from least on; quick where none was given.
func (in levelRequest) level(least integrity.Level) (integrity.Level, error) {
	if in.Level == "" {
		return integrity.LevelQuick, nil
	}
	l, err := integrity.ParseLevel(in.Level)
	if err != nil || l < least {
		return 0, invalid(fmt.Sprintf("level %q is none of this route's", brief(in.Level)), "use quick or full")
	}
	return l, nil
}

func (h *Handler) verifyBackup(w http.ResponseWriter, c *call) error {
	var in levelRequest
	if err := decode(w, c, &in); err != nil {
		return err
	}
	level, err := in.level(integrity.LevelQuick)
	if err != nil {
		return err
	}
	b, err := withFile(h.find(c))
	if err != nil {
		return err
	}
	return h.begin(w, c, snapshot.OpVerify, "", b.ID, func(ctx context.Context) (any, error) {
		b, err := h.m.Verify(ctx, b.ID, level)
		if err != nil {
			return nil, err
		}
		return showBackup(b), nil
	})
}

func (h *Handler) drillBackup(w http.ResponseWriter, c *call) error {
	b, err := h.find(c)
	if err != nil {
		return err
	}
	return h.begin(w, c, snapshot.OpDrill, "", b.ID, func(ctx context.Context) (any, error) {
		return h.m.Drill(ctx, b.ID)
	})
}
