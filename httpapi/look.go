package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"sync"
	"time"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/snapshot"
)

func lookRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/backups/:id/tables", right: RightView, handle: (*Handler).getTables},
		{method: http.MethodGet, path: "/backups/:id/download", right: RightDownload, stream: true, handle: (*Handler).download},
	}
}

// Looking into archives costs memory and time: so many at once, for so long.
const (
	maxLooks    = 2
	lookTimeout = 30 * time.Second
)

type tableDocument struct {
	Tables []snapshot.Table `json:"tables"`
}

func (h *Handler) getTables(w http.ResponseWriter, c *call) error {
	if err := noQuery(c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), lookTimeout)
	defer cancel()
	select {
	case h.looks <- struct{}{}:
		defer func() { <-h.looks }()
	case <-ctx.Done():
		return ctx.Err()
	}
	all, err := h.m.Tables(ctx, c.param("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, tableDocument{notNull(all)})
}

// fetching remembers who fetched what last, so that a download in a thousand ranges
// is one entry of the activity log.
type fetching struct {
	mu   sync.Mutex
	what string
	at   time.Time
}

// sameFetch is how long requests for the same archive are one download.
const sameFetch = 10 * time.Minute

// anew reports whether this is another download than the last one.
func (f *fetching) anew(what string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	again := f.what == what && now.Sub(f.at).Abs() < sameFetch
	if !again {
		f.what, f.at = what, now
	}
	return !again
}

// download sends the archive as it lies in the backup directory.
func (h *Handler) download(w http.ResponseWriter, c *call) error {
	if err := noQuery(c); err != nil {
		return err
	}
	if !h.o.AllowDownload {
		return fail(http.StatusForbidden, "downloads_off", "this server does not give archives away", "its administrator can switch that on")
	}
	b, err := h.m.Find(c.param("id"))
	if err != nil {
		return err
	}
	// Opened without following links: the name in the catalog stands for a file of
	// this directory, not for what somebody makes it point to.
	f, err := livedb.OpenSidecar(h.m.ArchivePath(b))
	if errors.Is(err, fs.ErrNotExist) {
		return fail(http.StatusNotFound, "not_found", "the file of this backup has gone", "choose another backup")
	}
	if errors.Is(err, livedb.ErrNotRegular) {
		return fail(http.StatusConflict, "refused", "what lies in this backup's place is no archive", "look into the backup directory")
	}
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer f.Close()
	if h.fetched.anew(nameOf(c.who)+"\x00"+b.ID, h.now()) {
		h.m.Record(snapshot.Activity{Who: nameOf(c.who), Action: "access", Backup: b.ID, Outcome: "started", Detail: "download of the archive"})
	}
	header := w.Header()
	header.Set("Content-Type", "application/zstd")
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": b.File}))
	header.Set("ETag", `"`+b.ImageBLAKE3+`"`)
	http.ServeContent(w, c.Request, "", b.CreatedAt, f)
	return nil
}
