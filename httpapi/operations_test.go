package httpapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/snapshot"
)

func decodeOperation(t testing.TB, r answer, status int) operation {
	t.Helper()
	var doc operationDocument
	r.into(status, &doc)
	return doc.Operation
}

// Lost if this fails: two operations at once, the second waiting half a minute and
// failing; or a program that gets "busy" without the operation that runs.
func TestOneOperationAtATime(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	b := a.backup("first")
	entered, release := f.holds("Backup")
	defer release()
	first := a.ask("POST", "/backups", "")
	op := decodeOperation(t, first, 202)
	<-entered
	if got := first.at; got != a.o.APIPrefix+"/operations/"+op.ID {
		t.Errorf("Location leads to %q", got)
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
	// A check does not wait for the backup.
	if got := a.finish(a.ask("POST", "/check", `{"level":"probe"}`)); got.State != stateDone {
		t.Errorf("check during a backup: %+v", got)
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

// Lost: an error that the page cannot distinguish from another one.
func TestOperationsFailWithCodes(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	for code, err := range map[string]error{
		"no_space":  fmt.Errorf("backup: %w", snapshot.ErrNoSpace),
		"corrupt":   fmt.Errorf("backup: %w", snapshot.ErrCorrupt),
		"busy":      fmt.Errorf("backup: %w", snapshot.ErrBusy),
		"missing":   fmt.Errorf("backup: %w", snapshot.ErrMissing),
		"failed":    errors.New("out of luck" + strings.Repeat("!", 10000)),
		"cancelled": context.Canceled, // not by a caller here
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
	jobs := map[snapshot.Operation]func() answer{
		snapshot.OpBackup: func() answer { a.change(); return a.ask("POST", "/backups", "") },
		snapshot.OpVerify: func() answer { return a.ask("POST", "/backups/"+first.ID+"/verify", "") },
		snapshot.OpDrill:  func() answer { return a.ask("POST", "/backups/"+first.ID+"/drill", "") },
		snapshot.OpRestore: func() answer {
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
			t.Run(string(kind)+" "+string(phase), func(t *testing.T) { cancelAt(t, a, begin, phase) })
		}
	}
	if testing.Short() {
		return
	}
	a.ask("DELETE", "/operations/nosuchoperation", "").problem(404, "not_found")
}

// phasesOf runs the operation once and returns its phases.
func phasesOf(t *testing.T, a *api, begin func() answer) (phases []snapshot.Phase) {
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
func cancelAt(t *testing.T, a *api, begin func() answer, phase snapshot.Phase) {
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
	case phase == snapshot.PhaseCommit:
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
	a.backup("first")
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
		t.Errorf("the log has no entry of the cancellation: %+v", log.Activity)
	}
}

// Lost: what the schedule does while a user looks at the page.
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
	if _, err := a.m.Restore(snapshot.WithCaller(ctx, snapshot.Caller{Who: "cron"}), b.ID, snapshot.RestoreOptions{}); err != nil {
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
		kinds = append(kinds, string(op.Kind)+" by "+op.Who)
		if op.Kind == snapshot.OpBackup && op.Trigger == "schedule" && len(op.Result) == 0 {
			t.Errorf("no result: %+v", op)
		}
	}
	slices.Reverse(kinds)
	if got := strings.Join(kinds, ", "); !strings.HasPrefix(got, "backup by automatic, drill by automatic, restore by cron") {
		t.Errorf("observed %s", got)
	}
}

// Lost: what another part of the process does, as it goes on, and why it failed.
func TestObservesAFailure(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	f.says(snapshot.Event{Type: snapshot.EventStarted, Operation: snapshot.OpBackup, Trigger: "schedule", Run: "r"})
	f.says(snapshot.Event{Type: snapshot.EventProgress, Operation: snapshot.OpBackup, Trigger: "schedule", Run: "r", Phase: snapshot.PhaseCompress, Done: 1, Total: 2})
	running := a.ops.running()
	if len(running) != 1 || running[0].Phase != snapshot.PhaseCompress || running[0].Who != "automatic" {
		t.Fatalf("%+v", running)
	}
	if p := a.ask("POST", "/backups", "").problem(409, "busy"); p.Operation != running[0].ID {
		t.Errorf("busy with %q", p.Operation)
	}
	f.says(snapshot.Event{Type: snapshot.EventFailed, Operation: snapshot.OpBackup, Trigger: "schedule", Run: "r", Err: snapshot.ErrNoSpace})
	a.ops.working.Wait()
	if last := a.ops.list()[0]; last.State != stateFailed || last.Error.Code != "no_space" {
		t.Errorf("%+v %+v", last, last.Error)
	}
}

// Lost: a list that grows for ever.
func TestOperationsAreBounded(t *testing.T) {
	var f *faults
	a := openAPI(t, faulty(&f))
	f.fails("Check", errors.New(strings.Repeat("x", 1<<20)))
	for range keepOperations + 5 {
		a.finish(a.ask("POST", "/check", ""))
	}
	if got := a.ops.list(); len(got) != keepOperations || len(a.ops.here()) != keepOperations {
		t.Errorf("%d are listed, %d kept", len(got), len(a.ops.here()))
	}
}

// Lost: a server that cannot be stopped, or one that leaves a restore without its end.
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
	got, err := a.ops.get(op.ID)
	if got.State != stateCancelled || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := a.ops.start(snapshot.OpBackup, "bob", "", "", nil); problemOf(err).Status != 503 {
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
	f.says(snapshot.Event{Type: snapshot.EventProgress, Operation: "restore", Phase: snapshot.PhaseCommit, Run: op.ID})
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Handler.Close(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed during a commit: %v", err)
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
