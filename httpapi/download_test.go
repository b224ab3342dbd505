package httpapi

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Lost if this fails: the archive, cut or changed on its way; or who took it away.
func TestDownload(t *testing.T) {
	a := openAPI(t, nil)
	b := a.backup("first")
	path := "/backups/" + b.ID + "/download"
	want, err := os.ReadFile(a.m.ArchivePath(b.Backup))
	if err != nil {
		t.Fatal(err)
	}
	whole := a.ask("GET", path, "")
	if whole.status != 200 || !bytes.Equal(whole.body, want) || whole.header.Get("Content-Type") != "application/zstd" ||
		whole.header.Get("Content-Disposition") != "attachment; filename="+b.File || whole.header.Get("Content-Encoding") != "" {
		t.Errorf("%d, %d bytes of %d, %v", whole.status, len(whole.body), len(want), whole.header)
	}
	var parts []byte
	for from := 0; from < len(want); from += 100_000 {
		r := a.ask("GET", path, "", fmt.Sprintf("Range: bytes=%d-%d", from, from+99_999), "If-Range: "+whole.header.Get("ETag"))
		if r.status != 206 {
			t.Fatalf("part at %d: %d", from, r.status)
		}
		parts = append(parts, r.body...)
	}
	if !bytes.Equal(parts, want) {
		t.Error("the parts are not the whole")
	}
	var log activityPage
	a.ask("GET", "/activity?limit=500", "").into(200, &log)
	entries := 0
	for _, e := range log.Activity {
		if e.Action == "access" && e.Backup == b.ID && e.Who == "alice" {
			entries++
		}
	}
	if entries != 1 {
		t.Errorf("%d entries in the log for one download", entries)
	}
}

// Lost: any file of the machine, to who can write into the backup directory or guess
// a path.
func TestDownloadIsOfBackupsOnly(t *testing.T) {
	a := openAPI(t, nil)
	b := a.backup("first")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := a.m.ArchivePath(b.Backup)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	a.ask("GET", "/backups/"+b.ID+"/download", "").problem(404, "not_found")
	symlink(t, secret, file)
	a.ask("GET", "/backups/"+b.ID+"/download", "").problem(409, "refused")
	for _, id := range []string{"..%2f..%2ftoken", "..%5ctoken", "token", "catalog.json", "operations", strings.Repeat("a", 5000), "%00", "data_latest"} {
		if r := a.ask("GET", "/backups/"+id+"/download", ""); r.status != 404 || bytes.Contains(r.body, []byte("secret")) {
			t.Errorf("%.40s: %d %s", id, r.status, r.body)
		}
	}
}
