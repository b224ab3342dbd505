package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost if this fails: what the program did by itself on the worst day; or a page that
// says "busy" ever after.
func TestObservesARecovery(t *testing.T) {
	for name, withBackup := range map[string]bool{"from a backup": true, "in vain": false} {
		t.Run(name, func(t *testing.T) {
			a := openAPI(t, nil)
			if withBackup {
				a.backup("good")
			}
			path := a.m.Database()
			testdb.Damaged(t, path)
			for pgno := int64(2); pgno < 60; pgno++ {
				testdb.ZeroPage(t, path, pgno)
			}
			m := a.m.(*snapshot.Manager)
			rec, err := m.Recover(t.Context())
			if withBackup == (err != nil) || !withBackup && !errors.Is(err, snapshot.ErrNoUsableBackup) {
				t.Fatalf("%+v, %v", rec, err)
			}
			a.ops.working.Wait()
			if running := a.ops.running(); len(running) > 0 {
				t.Errorf("still running: %+v", running)
			}
			i := slices.IndexFunc(a.ops.list(), func(op operation) bool { return op.Kind == snapshot.OpRecover })
			if i < 0 {
				t.Fatalf("not observed: %+v", a.ops.list())
			}
			switch op := a.ops.list()[i]; {
			case op.Who != "automatic" || op.Cancellable:
				t.Errorf("%+v", op)
			case withBackup && (op.State != stateDone || deref(op.Backup) != deref(rec.Restored)):
				t.Errorf("%+v %+v, restored %s", op, op.Error, deref(rec.Restored))
			case !withBackup && (op.State != stateFailed || op.Error.Code != "no_usable_backup" || op.Error.Hint == ""):
				t.Errorf("%+v %+v", op, op.Error)
			}
		})
	}
}

// Lost: a proof that failed, reported as if nothing had happened.
func TestDamagedBackup(t *testing.T) {
	a := openAPI(t, nil)
	b := a.backup("to rot")
	a.change()
	a.backup("good")
	testdb.FlipByte(t, a.m.ArchivePath(b.Backup), b.ArchiveBytes/2)
	for _, what := range []string{"verify", "drill"} {
		op := a.finish(a.ask("POST", "/backups/"+b.ID+"/"+what, ""))
		if op.State != stateFailed || op.Error == nil || op.Error.Code != "corrupt" {
			t.Errorf("%s: %+v %+v", what, op, op.Error)
		}
	}
	var got backupView
	a.ask("GET", "/backups/"+b.ID, "").into(200, &got)
	if got.Usable() || got.Verification.State != "failed" || got.ETag == b.ETag {
		t.Errorf("%+v", got)
	}
	a.ask("POST", "/backups/"+b.ID+"/restore-plan", "").problem(409, "corrupt")
	a.ask("POST", "/backups/"+b.ID+"/verify", "", `If-Match: "`+b.ETag+`"`).problem(409, "stale")
}

// Lost: damage that a check found, reported as a failure of the check.
func TestCheckFindsDamage(t *testing.T) {
	a := openAPI(t, nil)
	path := a.m.Database()
	testdb.Damaged(t, path)
	testdb.ZeroPage(t, path, 5)
	op := a.finish(a.ask("POST", "/check", `{"level":"full"}`))
	var report struct {
		Verdict integrity.Verdict
		Level   string
	}
	if op.State != stateDone || op.into(&report) != nil || report.Verdict != integrity.Corrupt || report.Level != "full" {
		t.Errorf("%+v %+v %s", op, op.Error, op.Result)
	}
}

// Lost: the work of today, for a restore of the wrong backup that cannot be taken back with
// what the API says; or the word of what a recovery lost.
func TestUndoAndAcknowledge(t *testing.T) {
	a := openAPI(t, nil)
	first := a.backup("first")
	a.change()
	before := a.backup("as it was")
	a.ask("POST", "/undo-plan", "").problem(404, "not_found")
	restore := func(plan planDocument) snapshot.RestoreResult {
		t.Helper()
		var done snapshot.RestoreResult
		op := a.finish(a.ask("POST", "/backups/"+plan.Plan.Backup.ID+"/restore", fmt.Sprintf(`{"token":%q,"confirm":"data.db"}`, plan.Plan.Token)))
		if err := op.into(&done); err != nil || op.State != stateDone || done.SafetyBackup == nil {
			t.Fatalf("%+v %+v", op, op.Error)
		}
		return done
	}
	var plan planDocument
	a.ask("POST", "/backups/"+first.ID+"/restore-plan", "").into(200, &plan)
	safety := restore(plan)
	a.ask("POST", "/undo-plan", "").into(200, &plan)
	if plan.Plan.Backup.ID != *safety.SafetyBackup || !plan.Plan.SavesFirst {
		t.Errorf("%+v", plan.Plan)
	}
	again := restore(plan)
	m := a.m.(*snapshot.Manager)
	if b, err := m.Find(again.Restored); err != nil || b.ImageBLAKE3 != before.ImageBLAKE3 {
		t.Errorf("%+v %v, want the image of %s", b, err, before.ID)
	}

	if err := a.db.Close(); err != nil {
		t.Fatal(err)
	}
	testdb.Damaged(t, m.Database())
	for pgno := int64(2); pgno < 60; pgno++ {
		testdb.ZeroPage(t, m.Database(), pgno)
	}
	rec, err := m.Recover(t.Context())
	if err != nil || rec.Quarantined == nil {
		t.Fatalf("%+v %v", rec, err)
	}
	if p := a.ask("POST", "/undo-plan", "").problem(409, "refused"); !strings.Contains(p.Detail, *rec.Quarantined) || !strings.Contains(p.Hint, "salvage") {
		t.Errorf("%+v", p)
	}
	var s snapshot.Status
	a.ask("GET", "/status", "").into(200, &s)
	if len(s.Recovered) != 1 || *s.Recovered[0].Kept != *rec.Quarantined {
		t.Errorf("%+v", s.Recovered)
	}
	var known acknowledgedDocument
	a.ask("POST", "/acknowledge-recovery", "").into(200, &known)
	a.ask("GET", "/status", "").into(200, &s)
	if len(known.Acknowledged) != 1 || len(s.Recovered) != 0 {
		t.Errorf("%+v, then %+v", known, s.Recovered)
	}
}
