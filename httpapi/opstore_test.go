package httpapi

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: the outcome of what ran when the program was killed, above all of a restore.
func TestRestartInMidOperation(t *testing.T) {
	path := testdb.CRM(t, 1<<20)
	cfg := snapshot.Config{Database: path}
	a := apiOver(t, cfg, nil)
	first := a.backup("first")
	a.change()
	dir := a.m.Dir()
	began := time.Now().UTC()
	running := func(kind snapshot.Operation, backup, trigger string) operation {
		op := operation{ID: newID(), Kind: kind, State: stateRunning, Phase: "write", StartedAt: began, Who: "alice", Trigger: trigger}
		if backup != "" {
			op.Backup = &backup
		}
		return op
	}
	// Done although nobody wrote that down: a restore, a proof, a backup.
	if _, err := a.m.Restore(t.Context(), first.ID, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.m.Drill(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	a.change()
	made, err := a.m.Backup(t.Context(), snapshot.Manual("made"))
	if err != nil {
		t.Fatal(err)
	}
	recorded := running(kindCheck, "", "")
	observed := running(kindBackup, "", "schedule")
	observed.Who = automatic
	ops := []operation{running(kindRestore, first.ID, ""), running(kindDrill, first.ID, ""), running(kindVerify, first.ID, ""),
		running(kindBackup, "", "manual"), recorded, running(kindCheck, "", ""), running(kindBackup, "", "schedule"), running(kindRestore, made.ID, ""), observed}
	a.close()
	if err := newOpstore(dir, a.log2()).save(reversed(ops)); err != nil {
		t.Fatal(err)
	}
	b := apiOver(t, cfg, func(m manager) manager { // the activity log knows how one ended
		m.Record(snapshot.Activity{Who: "alice", Action: kindCheck, Operation: recorded.ID, Outcome: "failed", Code: "timeout", Detail: "took too long"})
		m.Record(snapshot.Activity{Who: automatic, Action: kindBackup, Trigger: "change", Outcome: "done"})
		m.Record(snapshot.Activity{Who: automatic, Action: kindBackup, Trigger: "schedule", Outcome: "cancelled", Code: "cancelled"})
		m.Record(snapshot.Activity{Who: automatic, Action: kindBackup, Trigger: "schedule", Outcome: "done"})
		return m
	})
	want := []string{"done", "done", "done", "done", "failed timeout", "failed interrupted", "failed interrupted", "failed interrupted", "cancelled cancelled"}
	var log activityPage
	b.ask("GET", "/activity?limit=100", "").into(200, &log)
	for i, op := range ops {
		got := decodeOperation(t, b.ask("GET", "/operations/"+op.ID, ""), 200)
		state := got.State
		if got.Error != nil {
			state += " " + got.Error.Code
		}
		if state != want[i] || got.EndedAt == nil {
			t.Errorf("%s is %q, want %q: %+v", op.Kind, state, want[i], got.Error)
		}
		if got.State == stateDone && len(got.Result) == 0 {
			t.Errorf("%s has no result", op.Kind)
		}
		if op.Who != automatic && !slices.ContainsFunc(log.Activity, func(e snapshot.Activity) bool { return e.Operation == op.ID && e.Outcome == got.State }) {
			t.Errorf("%s %s is not in the activity log", op.Kind, op.ID)
		}
	}
	if got, _ := b.ops.get(ops[0].ID); !strings.Contains(string(got.Result), `"safety_backup":"data_backup_AUTO_`) {
		t.Errorf("the restore's result does not say how to undo it: %s", got.Result)
	}
	if got, _ := b.ops.get(ops[7].ID); got.Error == nil || !strings.Contains(got.Error.Hint, "what it held before is in data_backup_AUTO_") {
		t.Errorf("the interrupted restore does not say where the database's state is: %+v", got.Error)
	}
	if got, _ := b.ops.get(ops[3].ID); deref(got.Backup) != made.ID {
		t.Errorf("the backup that was made is %q, want %q", deref(got.Backup), made.ID)
	}
	// And not once more at the next start.
	b.close()
	c := apiOver(t, cfg, nil)
	var again activityPage
	c.ask("GET", "/activity?limit=100", "").into(200, &again)
	if len(again.Activity) < len(log.Activity) && len(again.Activity) > 0 {
		t.Errorf("%d entries, before %d", len(again.Activity), len(log.Activity))
	}
	for _, op := range c.ops.list() {
		if op.State == stateRunning {
			t.Errorf("still running: %+v", op)
		}
	}
}

// unchangedSince is a Manager whose database holds the very image of one backup; what
// proves that takes seconds, for the files must not be too young.
type unchangedSince struct {
	manager
	id string
}

func (u unchangedSince) PlanRestore(ctx context.Context, id string) (snapshot.RestorePlan, error) {
	plan, err := u.manager.PlanRestore(ctx, id)
	if id == u.id {
		plan.LosesSince = nil
	}
	return plan, err
}

// Lost: that nothing has happened to the database, for who fears that half of a
// restore did.
func TestRestoreThatHadNoEffect(t *testing.T) {
	cfg := snapshot.Config{Database: testdb.CRM(t, 1<<20)}
	a := apiOver(t, cfg, nil)
	first := a.backup("first")
	a.change()
	op := operation{ID: newID(), Kind: kindRestore, State: stateRunning, StartedAt: time.Now().UTC(), Who: "alice", Backup: &first.ID}
	// As a restore does first.
	saved, err := a.m.Backup(t.Context(), snapshot.Request{Kind: catalog.Auto, Trigger: catalog.TriggerPreRestore, Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ same, hint string }{
		{saved.ID, "as it was before; restore again"},
		{first.ID, "what it held before is in " + saved.ID},
	} {
		a.close()
		if err := newOpstore(a.m.Dir(), a.log2()).save([]operation{op}); err != nil {
			t.Fatal(err)
		}
		a = apiOver(t, cfg, func(m manager) manager { return unchangedSince{m, c.same} })
		got, _ := a.ops.get(op.ID)
		if got.State != stateFailed || got.Error == nil || got.Error.Code != "interrupted" || !strings.Contains(got.Error.Hint, c.hint) {
			t.Errorf("%+v %+v, want the hint %q", got, got.Error, c.hint)
		}
		op.ID = newID()
	}
}

// Lost: the same, for what was written down by a program that had no time to end.
func TestKilledInMidOperation(t *testing.T) {
	var f *faults
	cfg := snapshot.Config{Database: testdb.CRM(t, 1<<20)}
	a := apiOver(t, cfg, faulty(&f))
	b := a.backup("first")
	var plan planDocument
	a.ask("POST", "/backups/"+b.ID+"/restore-plan", "").into(200, &plan)
	entered, release := f.holds("Restore")
	defer release()
	op := decodeOperation(t, a.ask("POST", "/backups/"+b.ID+"/restore", `{"token":"`+plan.Plan.Token+`","confirm":"data.db"}`), 202)
	<-entered // and from here on the first one is as good as dead
	next := apiOver(t, cfg, nil)
	got := decodeOperation(t, next.ask("GET", "/operations/"+op.ID, ""), 200)
	if got.State != stateFailed || got.Error == nil || got.Error.Code != "interrupted" || got.Who != "alice" || deref(got.Backup) != b.ID ||
		!strings.Contains(got.Error.Hint, "either as it was before or wholly restored") {
		t.Errorf("%+v %+v", got, got.Error)
	}
	var ops operationPage
	next.ask("GET", "/operations", "").into(200, &ops)
	if len(ops.Operations) != 2 || ops.Operations[0].ID != op.ID {
		t.Errorf("%+v", ops)
	}
	next.ask("POST", "/backups/"+b.ID+"/restore", `{"token":"`+plan.Plan.Token+`","confirm":"data.db"}`).problem(409, "stale")
	var log activityPage
	next.ask("GET", "/activity", "").into(200, &log)
	if !slices.ContainsFunc(log.Activity, func(e snapshot.Activity) bool {
		return e.Operation == op.ID && e.Outcome == "failed" && e.Code == "interrupted" && e.Who == "alice"
	}) {
		t.Errorf("the activity log does not tell: %+v", log.Activity)
	}
}

func reversed(ops []operation) []operation {
	ops = slices.Clone(ops)
	slices.Reverse(ops)
	return ops
}

// Lost: a program that does not start, or forgets what runs, because of a bad file.
func TestDamagedOperationsFile(t *testing.T) {
	good := `{"version":1,"operations":[{"id":"abc","kind":"backup","state":"done","started_at":"2026-11-25T09:00:00Z","ended_at":"2026-11-25T09:00:01Z"}]}`
	big := `{"version":1,"operations":[` + strings.Repeat(" ", maxOpsFile) + `]}`
	for name, text := range map[string]string{
		"empty": "", "cut": good[:len(good)/2], "goes on": good + "{}", "newer": strings.Replace(good, `"version":1`, `"version":2`, 1),
		"null": "null", "too large": big, "twice": strings.Replace(good, "[{", `[{"id":"abc","kind":"backup","state":"done","started_at":"2026-11-25T09:00:00Z","ended_at":"2026-11-25T09:00:01Z"},{`, 1),
		"path as id": strings.Replace(good, "abc", "../abc", 1), "kind": strings.Replace(good, `"backup"`, `"dance"`, 1),
		"never began": strings.Replace(good, "2026-11-25T09:00:00Z", "9999-12-31T23:59:59-01:00", 1),
		"before time": strings.Replace(good, "2026-11-25T09:00:00Z", "0000-01-01T00:00:00+01:00", 1),
		"state":       strings.Replace(good, `"done"`, `"dancing"`, 1), "no end": strings.Replace(good, `"2026-11-25T09:00:01Z"`, "null", 1),
		"long": strings.Replace(good, `"id":"abc"`, `"id":"abc","who":"`+strings.Repeat("a", 10000)+`"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, opsName)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log lockedBuffer
			s := newOpstore(dir, textLog(&log))
			if got := s.load(); len(got) != 0 {
				t.Errorf("loaded %+v", got)
			}
			if !strings.Contains(log.String(), "set aside") {
				t.Errorf("the log says %q", log.String())
			}
			if kept, err := os.ReadFile(filepath.Join(dir, opsDamaged)); err != nil || string(kept) != text {
				t.Errorf("not set aside: %v", err)
			}
			if err := s.save([]operation{{ID: "x", Kind: kindBackup, State: stateRunning, StartedAt: time.Now()}}); err != nil {
				t.Error(err)
			}
			if got := s.load(); len(got) != 1 {
				t.Errorf("afterwards: %+v", got)
			}
		})
	}
}

// Lost: a file of somebody else's, overwritten through a link that was put there.
func TestOperationsFileIsNoLink(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	symlink(t, other, filepath.Join(dir, opsName))
	s := newOpstore(dir, textLog(&lockedBuffer{}))
	if got := s.load(); len(got) != 0 {
		t.Errorf("loaded %+v", got)
	}
	if err := s.save(nil); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "precious" {
		t.Errorf("%q, %v", got, err)
	}
	st, err := os.Lstat(filepath.Join(dir, opsName))
	if err != nil || !st.Mode().IsRegular() || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
}
