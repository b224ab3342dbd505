package httpapi

import (
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

func downloadRoutes() []route {
	return []route{{method: http.MethodGet, path: "/backups/:id/download", right: RightDownload, stream: true, handle: (*Handler).download}}
}

// downloads remembers the last download, so that one in a thousand ranges is one entry of the
// activity log.
type downloads struct {
	mu   sync.Mutex
	last string // who and which archive
	at   time.Time
}

// sameDownload is how long requests for the same archive are one download.
const sameDownload = 10 * time.Minute

// begins reports whether a request of that key begins another download than the last one.
func (d *downloads) begins(key string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	same := d.last == key && now.Sub(d.at).Abs() < sameDownload
	if !same {
		d.last, d.at = key, now
	}
	return !same
}

// download sends the archive's file as it is.
func (h *Handler) download(w http.ResponseWriter, c *call) error {
	if !h.o.AllowDownload {
		return fail(http.StatusForbidden, "downloads_off", "this server does not give archives away", "its administrator can switch that on")
	}
	b, err := withFile(h.m.Find(c.param("id")))
	if err != nil {
		return err
	}
	// Links are not followed: the name in the catalog is a file of this directory.
	f, err := livedb.OpenSidecar(h.m.ArchivePath(b))
	if errors.Is(err, fs.ErrNotExist) {
		return fail(http.StatusNotFound, "not_found", "the file of this backup has gone", "choose another backup")
	}
	if errors.Is(err, livedb.ErrNotRegular) {
		return fail(http.StatusConflict, "refused", "the file of this backup is no archive", "look into the backup directory")
	}
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer f.Close()
	if h.downloads.begins(nameOf(c.who)+"\x00"+b.ID, h.now()) {
		h.m.Record(snapshot.Activity{Who: nameOf(c.who), Action: "access", Backup: b.ID, Outcome: "started", Detail: "download of the archive"})
	}
	header := w.Header()
	header.Set("Content-Type", "application/zstd")
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": b.File}))
	header.Set("ETag", `"`+b.ImageBLAKE3+`"`)
	http.ServeContent(w, c.Request, "", b.CreatedAt, f)
	return nil
}
