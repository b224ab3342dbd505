package httpapi

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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

// Lost if this fails: the rows of a table, for who gave it a name that is no part of a path.
func TestNamesOfTables(t *testing.T) {
	a := openAPI(t, nil)
	db := testdb.Open(t, a.m.Database())
	names := []string{"in/out", "..", ".", `back\slash`, "two\nlines", "50% off?&#", strings.Repeat("n", 300), ""}
	for _, name := range names {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		if _, err := db.Exec("CREATE TABLE " + quoted + "(id INTEGER PRIMARY KEY); INSERT INTO " + quoted + " VALUES(7)"); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	b := a.backup("first")
	for _, name := range names {
		var rows struct{ Rows [][]any }
		a.ask("GET", "/backups/"+b.ID+"/rows?table="+url.QueryEscape(name), "").into(200, &rows)
		if len(rows.Rows) != 1 || rows.Rows[0][0] != 7.0 {
			t.Errorf("%q: %v", name, rows.Rows)
		}
	}
	a.ask("GET", "/backups/"+b.ID+"/rows?table=nosuch", "").problem(404, "not_found")
	a.ask("GET", "/backups/"+b.ID+"/rows", "").problem(422, "invalid")
	a.ask("GET", "/backups/"+b.ID+"/rows?table=a&limit=1001", "").problem(422, "invalid")
	a.setRights(RightView)
	a.ask("GET", "/backups/"+b.ID+"/rows?table=in/out", "").problem(403, "forbidden")
}
