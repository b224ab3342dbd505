package httpapi

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// withRemote has copies sent to a directory.
func withRemote(dir string) func(*snapshot.Config, *Options) {
	return func(cfg *snapshot.Config, _ *Options) {
		cfg.Remotes = []snapshot.Remote{{Name: "nas", URL: "file://" + filepath.ToSlash(dir)}}
	}
}

// Lost: the knowledge where the copies are; and the copy, of a person who presses the button.
func TestRemotesAreListedAndSentTo(t *testing.T) {
	nas := t.TempDir()
	a := openAPI(t, nil, withRemote(nas))
	b := a.backup("one")
	var list remoteList
	if a.ask("GET", "/remotes", "").into(200, &list); len(list.Remotes) != 1 || list.Remotes[0].Backups != 0 || list.Remotes[0].Newest != nil {
		t.Fatalf("%+v", list)
	}
	if left, err := os.ReadDir(nas); err != nil || len(left) > 0 {
		t.Errorf("to look has asked the store: %v, %v", left, err)
	}
	op := a.finish(a.ask("POST", "/remotes/nas/sync", ""))
	if op.State != stateDone || deref(op.Remote) != "nas" || op.Backup != nil || !strings.Contains(string(op.Result), `"state":"current"`) {
		t.Fatalf("%+v %s", op, op.Result)
	}
	if a.ask("GET", "/remotes", "").into(200, &list); list.Remotes[0].Backups != 1 || deref(list.Remotes[0].Newest) != b.ID {
		t.Errorf("%+v", list)
	}
	// The backup says so, too, and is the same one to those who were about to change it.
	var now backupView
	if a.ask("GET", "/backups/"+b.ID, "", `If-None-Match: "`+b.ETag+`"`).into(200, &now); len(now.Copies) != 1 || now.Copies[0].Remote != "nas" || now.ETag != b.ETag {
		t.Errorf("%+v", now)
	}
	a.ask("PATCH", "/backups/"+b.ID, `{"note":"sent"}`, `If-Match: "`+b.ETag+`"`).into(200, nil)
	var page backupPage
	if a.ask("GET", "/backups", "").into(200, &page); len(page.Backups) != 1 || len(page.Backups[0].Copies) != 1 {
		t.Errorf("%+v", page)
	}
	var log activityPage
	if a.ask("GET", "/activity", "").into(200, &log); !slices.ContainsFunc(log.Activity, func(e snapshot.Activity) bool {
		return e.Action == "sync" && e.Outcome == "done" && e.Remote == "nas" && e.Who == "alice"
	}) {
		t.Errorf("%+v", log)
	}
}

// Lost: backups, while a remote that does not answer is waited for; and the truth about what a click has stopped.
func TestSyncIsInNobodysWay(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f), withRemote(filepath.Join(t.TempDir(), "gone")))
	entered, release := f.holds("SyncRemote")
	op := decodeOperation(t, a.ask("POST", "/remotes/nas/sync", ""), 202)
	<-entered
	if op.Cancellable {
		t.Error("a click would stop the wait, and not what it waits for")
	}
	a.ask("DELETE", "/operations/"+op.ID, "").problem(409, "not_cancellable")
	a.backup("meanwhile")
	release()
	if op = a.wait(op.ID); op.State != stateFailed || op.Error == nil || !strings.Contains(op.Error.Message, "gone") {
		t.Errorf("%+v", op)
	}
}
