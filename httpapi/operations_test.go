package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

func decodeOperation(t testing.TB, r answer, status int) operation {
	t.Helper()
	var doc operationDocument
	r.into(status, &doc)
	return doc.Operation
}

// Lost if this fails: two operations at once, of which one waits half a minute and
// fails; or a program that is told "busy" and not by what.
func TestOneOperationAtATime(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	b := a.backup("first")
	entered, release := f.holds("Backup")
	defer release()
	first := a.ask("POST", "/backups", "")
	op := decodeOperation(t, first, 202)
	<-entered
	if want := a.o.APIPrefix + "/operations/" + op.ID; first.header.Get("Location") != want {
		t.Errorf("Location %q, want %q", first.header.Get("Location"), want)
	}
	for _, r := range []answer{
		a.ask("POST", "/backups", ""),
		a.ask("POST", "/backups/"+b.ID+"/verify", ""),
		a.ask("POST", "/backups/"+b.ID+"/drill", ""),
		a.ask("DELETE", "/backups/"+b.ID, ""),
	} {
		if p := r.problem(409, "busy"); p.Operation != op.ID {
			t.Errorf("busy with %q, want %q", p.Operation, op.ID)
		}
	}
	// A check disturbs nobody.
	if got := a.finish(a.ask("POST", "/check", `{"level":"probe"}`)); got.State != stateDone {
		t.Errorf("check beside a backup: %+v", got)
	}
	// Nor does another check wait for it.
	checking, endCheck := f.holds("Check")
	defer endCheck()
	check := decodeOperation(t, a.ask("POST", "/check", ""), 202)
	<-checking
	if p := a.ask("POST", "/check", "").problem(409, "busy"); p.Operation != check.ID {
		t.Errorf("busy with %q, want the check", p.Operation)
	}
	endCheck()
	a.wait(check.ID)
	release()
	if got := a.wait(op.ID); got.State != stateDone || got.Who != "alice" || got.Trigger != "manual" || got.Cancellable {
		t.Errorf("the first ended as %+v", got)
	}
	a.backup("and then another")
}

// Lost: an error that the page cannot tell from another one.
func TestOperationsFailWithCodes(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	for code, err := range map[string]error{
		"no_space":  fmt.Errorf("backup: %w", snapshot.ErrNoSpace),
		"corrupt":   fmt.Errorf("backup: %w", snapshot.ErrCorrupt),
		"busy":      fmt.Errorf("backup: %w", snapshot.ErrBusy),
		"missing":   fmt.Errorf("backup: %w", snapshot.ErrMissing),
		"failed":    errors.New("out of luck" + strings.Repeat("!", 10000)),
		"cancelled": context.Canceled, // by nobody here
	} {
		f.fails("Backup", err)
		op := a.finish(a.ask("POST", "/backups", ""))
		if op.State != stateFailed || op.Error == nil || op.Error.Code != code || op.Error.Message == "" || len(op.Error.Message) > maxText {
			t.Errorf("%s: %+v %+v", code, op, op.Error)
		}
	}
}

// Lost: the host's process, with everything else that it does.
func TestPanicBecomesAFailure(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	f.on("Backup", func(context.Context) error { panic("out of cheese") })
	op := a.finish(a.ask("POST", "/backups", ""))
	if op.State != stateFailed || op.Error.Code != "failed" || strings.Contains(op.Error.Message, "cheese") {
		t.Errorf("%+v %+v", op, op.Error)
	}
	if !strings.Contains(a.log.String(), "cheese") {
		t.Error("the log does not say what happened")
	}
	f.on("Backup", nil)
	a.backup("it goes on")
}

// Lost: a restore that cannot be stopped while nothing has been changed, or one that
// looks stopped although it was carried out.
func TestCancelAtEveryPhase(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	first := a.backup("first")
	a.change()
	a.backup("second")
	jobs := map[string]func() answer{
		kindBackup: func() answer { a.change(); return a.ask("POST", "/backups", "") },
		kindVerify: func() answer { return a.ask("POST", "/backups/"+first.ID+"/verify", "") },
		kindDrill:  func() answer { return a.ask("POST", "/backups/"+first.ID+"/drill", "") },
		kindRestore: func() answer {
			var plan planDocument
			a.ask("POST", "/backups/"+first.ID+"/restore-plan", "").into(200, &plan)
			return a.ask("POST", "/backups/"+first.ID+"/restore", fmt.Sprintf(`{"token":%q,"confirm":"data.db"}`, plan.Plan.Token))
		},
	}
	for kind, begin := range jobs {
		phases := phasesOf(t, a, begin)
		if len(phases) == 0 {
			t.Errorf("%s has no phases", kind)
		}
		for _, phase := range phases {
			t.Run(kind+" "+phase, func(t *testing.T) { cancelAt(t, a, begin, phase) })
		}
	}
	if testing.Short() {
		return
	}
	a.ask("DELETE", "/operations/nosuchoperation", "").problem(404, "not_found")
}

// phasesOf runs the operation once and returns its phases.
func phasesOf(t *testing.T, a *api, begin func() answer) (phases []string) {
	stop := a.m.Subscribe(func(ev snapshot.Event) {
		if ev.Type == snapshot.EventProgress && !slices.Contains(phases, ev.Phase) {
			phases = append(phases, ev.Phase)
		}
	})
	defer stop()
	if op := a.finish(begin()); op.State != stateDone {
		t.Fatalf("%+v %+v", op, op.Error)
	}
	return phases
}

// cancelAt asks to stop as soon as the phase begins.
func cancelAt(t *testing.T, a *api, begin func() answer, phase string) {
	done := make(chan answer, 1)
	stop := a.m.Subscribe(func(ev snapshot.Event) {
		if ev.Type != snapshot.EventProgress || ev.Phase != phase || ev.Run == "" || len(done) > 0 {
			return
		}
		done <- a.ask("DELETE", "/operations/"+ev.Run, "") // the Manager waits for this
	})
	op := a.finish(begin())
	stop()
	asked := <-done
	switch {
	case phase == phaseCommit:
		asked.problem(409, "not_cancellable")
		if op.State != stateDone {
			t.Errorf("past the point of no return: %+v %+v", op, op.Error)
		}
	case op.State == stateDone: // it was too late to be noticed
		t.Logf("ended well all the same")
	case op.State != stateCancelled || op.Error.Code != "cancelled":
		t.Errorf("%s %+v %+v", asked.body, op, op.Error)
	}
	if asked.status == 202 {
		var doc operationDocument
		asked.into(202, &doc)
		if doc.Operation.Cancellable || doc.Operation.State != stateRunning {
			t.Errorf("asked to stop: %+v", doc.Operation)
		}
	}
	a.ask("DELETE", "/operations/"+op.ID, "").problem(409, "not_cancellable")
}

// Lost: who may only look stops what others do.
func TestCancellingNeedsTheRightOfItsKind(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	entered, release := f.holds("Backup")
	defer release()
	op := decodeOperation(t, a.ask("POST", "/backups", ""), 202)
	<-entered
	a.setRights(RightView, RightVerify, RightRestore, RightDelete)
	a.ask("DELETE", "/operations/"+op.ID, "").problem(403, "forbidden")
	a.setRights(RightView, RightCreate)
	r := decodeOperation(t, a.ask("DELETE", "/operations/"+op.ID, "", "X-Who: bob"), 202)
	if r.ID != op.ID {
		t.Errorf("%+v", r)
	}
	got := a.wait(op.ID)
	if got.State != stateCancelled || got.Error.Message != "stopped by bob" {
		t.Errorf("%+v %+v", got, got.Error)
	}
	var log activityPage
	a.ask("GET", "/activity", "").into(200, &log)
	if !slices.ContainsFunc(log.Activity, func(e snapshot.Activity) bool {
		return e.Action == "cancel" && e.Who == "bob" && e.Operation == op.ID
	}) {
		t.Errorf("the log does not tell: %+v", log.Activity)
	}
}

// Lost: what the schedule does while somebody looks at the page.
func TestObservesWhatOthersDo(t *testing.T) {
	a := openAPI(t, nil)
	ctx := context.Background()
	b, err := a.m.Backup(ctx, snapshot.Auto(catalog.TriggerSchedule))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.m.Drill(ctx, b.ID); err != nil {
		t.Fatal(err)
	}
	a.change()
	if err := a.m.Restore(snapshot.WithCaller(ctx, snapshot.Caller{Who: "cron"}), b.ID, snapshot.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.m.Database()+"-hold", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.m.Backup(ctx, snapshot.Auto(catalog.TriggerSchedule)); err != nil { // unchanged, perhaps: no operation then
		t.Fatal(err)
	}
	a.ops.working.Wait()
	var kinds []string
	for _, op := range a.ops.list() {
		if op.State != stateDone || op.Cancellable || op.EndedAt == nil {
			t.Errorf("%+v %+v", op, op.Error)
		}
		kinds = append(kinds, op.Kind+" by "+op.Who)
		if op.Kind == kindBackup && op.Trigger == "schedule" && len(op.Result) == 0 {
			t.Errorf("no result: %+v", op)
		}
	}
	slices.Reverse(kinds)
	if got := strings.Join(kinds, ", "); !strings.HasPrefix(got, "backup by automatic, drill by automatic, restore by cron") {
		t.Errorf("observed %s", got)
	}
}

// Lost: a page that says "busy" for ever, because an operation ended without a word.
func TestWhatIsObservedDoesNotBlockForEver(t *testing.T) {
	var f *faults
	clock := &chain{now: time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)}
	a := openAPI(t, faulty(&f), func(_ *snapshot.Config, o *Options) { o.now = clock.clock })
	f.says(snapshot.Event{Type: snapshot.EventStarted, Operation: "backup", Trigger: "schedule"})
	f.says(snapshot.Event{Type: snapshot.EventProgress, Operation: "backup", Trigger: "schedule", Phase: "compress", Done: 1, Total: 2})
	running := a.ops.running()
	if len(running) != 1 || running[0].Phase != "compress" || running[0].Who != automatic {
		t.Fatalf("%+v", running)
	}
	if p := a.ask("POST", "/backups", "").problem(409, "busy"); p.Operation != running[0].ID {
		t.Errorf("busy with %q", p.Operation)
	}
	clock.pass(quiet + time.Second)
	if op := a.finish(a.ask("POST", "/backups", "")); op.State != stateDone {
		t.Errorf("%+v %+v", op, op.Error)
	}
	f.says(snapshot.Event{Type: snapshot.EventStarted, Operation: "backup", Trigger: "schedule"})
	if op, _ := a.ops.get(running[0].ID); op.State != stateFailed || op.Error.Code != "interrupted" {
		t.Errorf("the one that went silent: %+v", op)
	}
	f.says(snapshot.Event{Type: snapshot.EventFailed, Operation: "backup", Trigger: "schedule", Err: snapshot.ErrNoSpace})
	a.ops.working.Wait()
	if last := a.ops.list()[0]; last.State != stateFailed || last.Error.Code != "no_space" {
		t.Errorf("%+v %+v", last, last.Error)
	}
}

// Lost: the outcome of what ran when the program was killed, above all of a restore.
func TestRestartInMidOperation(t *testing.T) {
	path := testdb.CRM(t, 1<<20)
	cfg := snapshot.Config{Database: path}
	a := apiOver(t, cfg, nil)
	first := a.backup("first")
	a.change()
	dir := a.m.Dir()
	began := time.Now().UTC()
	running := func(kind, backup, trigger string) operation {
		op := operation{ID: newID(), Kind: kind, State: stateRunning, Phase: "write", StartedAt: began, Who: "alice", Trigger: trigger}
		if backup != "" {
			op.Backup = &backup
		}
		return op
	}
	// Done although nobody wrote that down: a restore, a proof, a backup.
	if err := a.m.Restore(t.Context(), first.ID, snapshot.RestoreOptions{}); err != nil {
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
	a.m.Record(snapshot.Activity{Who: "alice", Action: kindCheck, Operation: recorded.ID, Outcome: "failed", Code: "timeout", Detail: "took too long"})
	ops := []operation{running(kindRestore, first.ID, ""), running(kindDrill, first.ID, ""), running(kindVerify, first.ID, ""),
		running(kindBackup, "", "manual"), recorded, running(kindCheck, "", ""), running(kindBackup, "", "schedule"), running(kindRestore, made.ID, "")}
	a.close()
	if err := newOpstore(dir, a.log2()).save(reversed(ops)); err != nil {
		t.Fatal(err)
	}
	b := apiOver(t, cfg, nil)
	want := []string{"done", "done", "done", "done", "failed timeout", "failed interrupted", "failed interrupted", "failed interrupted"}
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
		if !slices.ContainsFunc(log.Activity, func(e snapshot.Activity) bool { return e.Operation == op.ID && e.Outcome == got.State }) {
			t.Errorf("%s %s is not in the activity log", op.Kind, op.ID)
		}
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
		"state": strings.Replace(good, `"done"`, `"dancing"`, 1), "no end": strings.Replace(good, `"2026-11-25T09:00:01Z"`, "null", 1),
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
	if err := os.Symlink(other, filepath.Join(dir, opsName)); err != nil {
		t.Skip(err)
	}
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

// Lost: a file, and a list, that grow for ever.
func TestOperationsAreBounded(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	f.fails("Check", errors.New(strings.Repeat("x", 1<<20)))
	for range keepOperations + 5 {
		a.finish(a.ask("POST", "/check", ""))
	}
	if got := a.ops.list(); len(got) != keepOperations {
		t.Errorf("%d are kept", len(got))
	}
	a.close()
	raw, err := os.ReadFile(filepath.Join(a.m.Dir(), opsName))
	if err != nil || len(raw) > keepOperations*(maxText+1000) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	var file opsFile
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Operations) != keepOperations {
		t.Errorf("%d in the file, %v", len(file.Operations), err)
	}
	if got := newOpstore(a.m.Dir(), textLog(a.log)).load(); len(got) != keepOperations {
		t.Errorf("%d are read back\n%s", len(got), a.log)
	}
}

// Lost: a server that cannot be stopped, or one that leaves a restore half told.
func TestCloseEndsOperations(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	entered, release := f.holds("Backup")
	defer release()
	op := decodeOperation(t, a.ask("POST", "/backups", ""), 202)
	<-entered
	if err := a.Handler.Close(t.Context()); err != nil {
		t.Error(err)
	}
	got, _ := a.ops.get(op.ID)
	if got.State != stateCancelled {
		t.Errorf("%+v", got)
	}
	if _, err := a.ops.start(kindBackup, "bob", "", "", nil); problemOf(err).Status != 503 {
		t.Errorf("begun after the end: %v", err)
	}
}

// Lost: a restore past its point of no return that is cut off by closing.
func TestCloseWaitsForTheCommit(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	entered, release := f.holds("Backup")
	op := decodeOperation(t, a.ask("POST", "/backups", ""), 202)
	<-entered
	f.says(snapshot.Event{Type: snapshot.EventProgress, Operation: "restore", Phase: phaseCommit, Run: op.ID})
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Handler.Close(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed beside a commit: %v", err)
	}
	release()
	if err := a.Handler.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got, _ := a.ops.get(op.ID); got.State != stateDone {
		t.Errorf("%+v %+v", got, got.Error)
	}
}

// Lost: a progress bar that jumps, or promises an end that does not come.
func TestSpeedometer(t *testing.T) {
	var s speedometer
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	if rate, eta := s.read(now, 0, 1000); rate != nil || eta != nil {
		t.Error("a speed out of nothing")
	}
	for i := range 40 {
		now = now.Add(250 * time.Millisecond)
		done := int64(i+1) * 250
		rate, eta := s.read(now, done, 20000)
		if rate == nil || *rate != 1000 {
			t.Fatalf("rate %v, want 1000", deref64(rate))
		}
		if want := (20000 - done + 999) / 1000; eta == nil || *eta != want {
			t.Errorf("at %d: %d s left, want %d", done, deref64(eta), want)
		}
	}
	now = now.Add(3 * time.Second) // it stalls
	rate, _ := s.read(now, 10000, 20000)
	if got := deref64(rate); got > 400 || got < 300 {
		t.Errorf("after a stall as long as the smoothing: %d", got)
	}
	if rate, _ := s.read(now.Add(-time.Hour), 10001, 20000); rate != nil {
		t.Error("the clock was set back, and the speed stayed")
	}
}

func deref64(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}
