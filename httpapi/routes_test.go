package httpapi

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost if this fails: every action on a backup, for who gave the database a name that
// people give to files.
func TestNamesOfFiles(t *testing.T) {
	for _, name := range []string{"My CRM.db", "50% off, %41 %2e.db", "why?&x=1#a.db", `"ü" 🙂 + .db`} {
		path := filepath.Join(t.TempDir(), name)
		image, err := os.ReadFile(testdb.CRM(t, 1<<18))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		a := apiOver(t, snapshot.Config{Database: path}, nil)
		b := a.backup("first")
		at := "/backups/" + url.PathEscape(b.ID)
		a.ask("GET", at, "").into(200, nil)
		a.ask("GET", at+"/tables", "").into(200, nil)
		a.ask("PATCH", at, `{"pinned":false,"note":"x"}`).into(200, nil)
		if r := a.ask("GET", at+"/download", ""); r.status != 200 {
			t.Errorf("%s: download: %d %s", name, r.status, r.body)
		}
		for _, do := range []string{"/verify", "/drill"} {
			if op := a.finish(a.ask("POST", at+do, "")); op.State != stateDone {
				t.Errorf("%s: %s: %+v", name, do, op.Error)
			}
		}
		a.close()
	}
}

// Lost if this fails: what to do, for who reads on the page that a backup failed because
// another user changed the rights of the directory.
func TestErrorsWithoutAHintGetOne(t *testing.T) {
	err := fmt.Errorf("backup: %w", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission})
	if p := problemOf(err); p.Code != "permission" || p.Hint == "" {
		t.Errorf("%+v", p)
	}
}
